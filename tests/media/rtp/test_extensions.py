"""RTP header extensions (RFC 8285)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import PacketError
from media.rtp.extensions import ONE_BYTE_PROFILE, TWO_BYTE_PROFILE, build_extensions, parse_extensions


@given(st.dictionaries(st.integers(1, 255), st.binary(max_size=255), max_size=8))
def test_what_is_built_is_parsed_back(elements: dict[int, bytes]) -> None:
    block = build_extensions(elements)
    assert len(block) % 4 == 0
    if not elements:
        assert block == b""
        return
    assert int.from_bytes(block[2:4], "big") * 4 == len(block) - 4
    assert parse_extensions(int.from_bytes(block[:2], "big"), block[4:]) == elements


@given(st.sampled_from((ONE_BYTE_PROFILE, TWO_BYTE_PROFILE, 0x100F, 0x1234)), st.binary(max_size=60))
def test_any_bytes(profile: int, data: bytes) -> None:
    try:
        found = parse_extensions(profile, data)
    except PacketError:
        return
    assert sum(len(value) for value in found.values()) <= len(data)


def test_the_example_of_rfc_8285_section_4_2() -> None:
    # ID 0 len 0 is padding; one byte, then two bytes with padding between
    data = bytes.fromhex("10aa 21bbcc 00 00 33 01020304")
    assert parse_extensions(ONE_BYTE_PROFILE, data) == {1: b"\xaa", 2: b"\xbb\xcc", 3: b"\1\2\3\4"}


def test_the_two_byte_form_has_empty_elements_and_app_bits() -> None:
    data = bytes.fromhex("0100 0201aa 00 00 ff02bbcc")
    expected = {1: b"", 2: b"\xaa", 255: b"\xbb\xcc"}
    assert parse_extensions(TWO_BYTE_PROFILE, data) == expected
    assert parse_extensions(TWO_BYTE_PROFILE | 7, data) == expected


def test_identifier_15_ends_the_one_byte_form() -> None:
    assert parse_extensions(ONE_BYTE_PROFILE, bytes.fromhex("10aa f000 20bb")) == {1: b"\xaa"}


def test_the_form_follows_the_elements() -> None:
    assert build_extensions({1: b"x" * 16})[:2] == b"\xbe\xde"
    assert build_extensions({1: b"x" * 17})[:2] == b"\x10\x00"
    assert build_extensions({15: b"x"})[:2] == b"\x10\x00"
    assert build_extensions({1: b""})[:2] == b"\x10\x00"


@pytest.mark.parametrize("elements", [{0: b"x"}, {256: b"x"}, {1: b"x" * 256}])
def test_what_fits_in_neither_form_is_refused(elements: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        build_extensions(elements)


@pytest.mark.parametrize(("profile", "data"), [(0xBEDE, "13aabb"), (0x1000, "01"), (0x1000, "0103aabb")])
def test_elements_over_the_end_are_refused(profile: int, data: str) -> None:
    with pytest.raises(PacketError, match="over the end"):
        parse_extensions(profile, bytes.fromhex(data))
