import pytest
from hypothesis import given
from hypothesis import strategies as some

from signaling.errors import InvalidNumber, SignalingError
from signaling.phone_number import digits, is_e164, is_region, parse_number, redact, region_of


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("+12025550100", None),
        ("+1 (202) 555-0100", None),
        ("(202) 555-0100", "US"),
        ("202.555.0100", "us"),
        ("tel:+1-202-555-0100", None),
        ("1 202 555 0100", "US"),
        ("011 1 202 555 0100", "US"),
        ("00 1 202 555 0100", "DE"),
    ],
)
def test_usual_spellings(text, region):
    assert parse_number(text, region) == "+12025550100"


@pytest.mark.parametrize(
    "text",
    ["", "abc", "911", "2025550100", "+1 555 000 0000", "+44 7700 900000", "+12025550100 x5", "+" + "1" * 15,
     "+1202555\n0100", "+1202555\ud8000100", "1" * 65, "+12025550100;ext=1"],
)  # fmt: skip
def test_refused(text):
    with pytest.raises(InvalidNumber) as error:
        parse_number(text)
    assert isinstance(error.value, ValueError) and isinstance(error.value, SignalingError)
    assert "\n" not in str(error.value)


def test_regions():
    assert region_of("+12025550100") == "US" and region_of("+14165550100") == "CA"
    assert region_of("+80012345678") is None and region_of("nonsense") is None
    assert is_region("US") and is_region("de") and not is_region("XX") and not is_region("")


def test_forms():
    assert digits("+12025550100") == "12025550100"
    assert "20255501" not in redact("+12025550100")
    assert is_e164("+12025550100")
    for text in (
        "",
        "+",
        "12025550100",
        "+02025550100",
        "+1202555010a",
        "+12025550100" * 2,
        "+1202٢550100",
        "+123456",
    ):
        assert not is_e164(text)


@given(some.text(max_size=70) | some.text(alphabet="+0123456789() -.ext;#", max_size=20))
def test_any_text(text):
    for region in (None, "US", "XX", ""):
        try:
            number = parse_number(text, region)
        except InvalidNumber:
            continue
        assert is_e164(number) and parse_number(number) == number
