import pytest

from signaling.websocket_frame import text_frame


@pytest.mark.parametrize(
    ("size", "header"),
    [
        # RFC 6455 section 5.2: the shortest of the three forms of a length is the only right one.
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_the_length_takes_the_shortest_form(size, header):
    assert text_frame("x" * size) == header + b"x" * size


def test_the_length_counts_octets():
    # RFC 6455 section 5.7: "Hello"; and a character of three octets.
    assert text_frame("Hello") == bytes.fromhex("810548656c6c6f")
    assert text_frame("\N{SNOWMAN}") == b"\x81\x03\xe2\x98\x83"
