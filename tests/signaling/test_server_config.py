from pathlib import Path

import pytest

from signaling.errors import ServerStartError
from signaling.server_config import ServerConfig

DATA = Path("data")
PEM = Path("x.pem")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"host": "::1"},
        {"host": "0.0.0.0", "behind_proxy": True, "sms": "file:x"},
        {"host": "0.0.0.0", "tls_cert": PEM, "tls_key": PEM, "sms": "webhook:https://sms.example"},
        {"host": "0.0.0.0", "behind_proxy": True, "allow_console_sms": True},
        {"countries": frozenset({"US", "CA"})},
        {"turn": ("turn:turn.example:3478?transport=udp", "turns:turn.example"), "turn_secret": "x"},
        {"turn": ("stun:[2001:db8::1]:3478",)},
    ],
)
def test_allowed(options):
    ServerConfig(DATA, **options).check()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"host": "0.0.0.0", "sms": "file:x"}, "--tls-cert"),
        ({"host": "server.example", "sms": "file:x"}, "--tls-cert"),
        ({"host": "0.0.0.0", "behind_proxy": True}, "--allow-console-sms"),
        ({"tls_cert": PEM}, "go together"),
        ({"tls_key": PEM}, "go together"),
        ({"domain": "Calls.Example"}, "--domain"),
        ({"turn": ("turn:turn.example",)}, "--turn-secret"),
        ({"turn_secret": "x"}, "--turn-secret"),
        ({"turn": ("stun:stun.example",), "turn_secret": "x"}, "--turn-secret"),
        ({"turn": ("turn.example",), "turn_secret": "x"}, "turn:turn.example:3478"),
        ({"turn": ("turn:turn.example:0",), "turn_secret": "x"}, "port"),
        ({"turn": ("turns:turn.example?transport=udp",), "turn_secret": "x"}, "not supported"),
        ({"turn": ("stun:stun.example",) * 9}, "takes 8"),
        ({"domain": "a b"}, "--domain"),
        ({"domain": ""}, "--domain"),
        ({"domain": "user@calls.example"}, "--domain"),
        ({"domain": "calls.example:8480"}, "--domain"),
        ({"region": "XX"}, "country"),
        ({"countries": frozenset({"USA"})}, "country"),
        ({"port": 70000}, "--port"),
    ],
)
def test_refused_in_one_line(options, word):
    with pytest.raises(ServerStartError, match=word) as error:
        ServerConfig(DATA, **options).check()
    assert "\n" not in str(error.value)
