"""What is believed of a peer's candidates and of a server's URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import SdpError
from media.io.ice_syntax import parse_candidate, parse_server_url

HOST = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"


# -- candidates


def test_a_host_candidate() -> None:
    for line in (HOST, f"a={HOST}", HOST.removeprefix("candidate:")):
        candidate = parse_candidate(line)
        assert candidate is not None
        assert (candidate.host, candidate.port, candidate.type) == ("192.0.2.1", 5000, "host")


def test_a_relayed_candidate_with_extensions() -> None:
    line = (
        "candidate:842163049 1 UDP 1677729535 2001:db8::7 61665 typ relay raddr 0.0.0.0 rport 0 "
        "generation 0 ufrag abcd network-cost 50"
    )
    candidate = parse_candidate(line)
    assert candidate is not None and candidate.type == "relay" and candidate.host == "2001:db8::7"


@pytest.mark.parametrize(
    "line",
    [
        "candidate:1 1 tcp 2105458943 192.0.2.1 9 typ host tcptype active",
        "candidate:1 2 udp 2130706430 192.0.2.1 5001 typ host",
        "candidate:1 1 udp 2130706431 2b8d7f4e-52dd-4b4a-a1a8-fa4cbd4c1c9b.local 5000 typ host",
        "candidate:1 1 udp 2130706431 evil.example 5000 typ host",
    ],
)
def test_what_is_not_used_is_left_out(line: str) -> None:
    assert parse_candidate(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "candidate:",
        "hello",
        "candidate:1 1 udp",
        "candidate:1 1 udp x 192.0.2.1 5000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 0 typ host",
        "candidate:1 1 udp 1 192.0.2.1 65536 typ host",
        "candidate:1 1 udp 1 192.0.2.1 -5 typ host",
        "candidate:1 1 udp 1 0.0.0.0 5000 typ host",
        "candidate:1 1 udp 1 :: 5000 typ host",
        "candidate:1 1 udp 1 224.0.0.1 5000 typ host",
        "candidate:1 1 udp 1 ff02::1 5000 typ host",
        "candidate:1 1 udp 1 255.255.255.255 5000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 5000 typ",
    ],
)
def test_what_is_none_is_refused(line: str) -> None:
    with pytest.raises(SdpError):
        parse_candidate(line)


@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from([*HOST.split(), "raddr", "rport", "tcp", "²", "-1", "::1", ""]) | st.text(max_size=5)
    ).map(" ".join)
)
def test_any_text(line: str) -> None:
    try:
        parse_candidate(line)
    except SdpError:
        pass


# -- servers


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("stun:stun.example", ("stun", ("stun.example", 3478), "udp")),
        ("stun:192.0.2.1:19302", ("stun", ("192.0.2.1", 19302), "udp")),
        ("turn:turn.example:3478?transport=tcp", ("turn", ("turn.example", 3478), "tcp")),
        ("turn:[2001:db8::1]:5000", ("turn", ("2001:db8::1", 5000), "udp")),
        ("turn:[2001:db8::1]", ("turn", ("2001:db8::1", 3478), "udp")),
        ("turns:turn.example", ("turn", ("turn.example", 5349), "tls")),
        ("turns:turn.example:443?transport=tcp", ("turn", ("turn.example", 443), "tls")),
        ("turns:turn.example?transport=udp", None),
        ("stun:stun.example?transport=tcp", None),
        ("turn:turn.example?x", None),
        ("http://turn.example", None),
        ("stun:", None),
        ("stun:host:port", None),
        ("stun:host:²", None),
        ("stun:host:0", None),
        ("stun:host:65536", None),
        ("turn:host?transport=sctp", None),
        ("", None),
    ],
)
def test_server_urls(url: str, parsed: object) -> None:
    assert parse_server_url(url) == parsed


@given(st.text(max_size=30) | st.text(max_size=20).map("stun:h:{}".format))
def test_any_server_url(url: str) -> None:
    parse_server_url(url)
