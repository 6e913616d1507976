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
