"""Phone numbers: E.164 inside, any usual spelling at the edge (protocol.md section 0)."""

import phonenumbers

from signaling.errors import InvalidNumber

# RFC 3966 spellings of 15 digits with separators stay far below; libphonenumber itself stops at 250.
MAX_LENGTH = 64
HOW = "write it with its country, e.g. +12025550100"


def parse_number(text: str, region: str | None = None) -> str:
    """`(202) 555-0100` with region `US`, or `+1 202 555 0100`, as E.164: `+12025550100`.

    `region` is an ISO 3166 code (`US`), needed only for numbers without country code. Only valid numbers
    (libphonenumber's is_valid_number) pass; an extension does not. Raises InvalidNumber.
    """
    if len(text) > MAX_LENGTH or not text.isprintable():
        raise InvalidNumber(f"that is not a phone number: {HOW}")
    try:
        number = phonenumbers.parse(text, region.upper() if region else None)
    except (phonenumbers.NumberParseException, ValueError):
        raise InvalidNumber(f"{text} is not a phone number: {HOW}") from None
    if number.extension or not phonenumbers.is_valid_number(number):
        raise InvalidNumber(f"{text} is not a valid phone number: {HOW}")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def is_e164(text: str) -> bool:
    """True for the one canonical form, `+` and 7 to 15 digits, first digit not 0 (no validity check)."""
    return (
        8 <= len(text) <= 16 and text[0] == "+" and text.isascii() and text[1:].isdigit() and text[1] != "0"
    )


def region_of(number: str) -> str | None:
    """The ISO 3166 region of an E.164 number (`US`), or None where it belongs to no single country."""
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return None
    return region if region and region != "001" else None


def is_mobile(number: str) -> bool:
    """True if libphonenumber takes the E.164 number for a mobile, or cannot tell it from a landline (as in +1)."""
    try:
        kind = phonenumbers.number_type(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return False
    types = phonenumbers.PhoneNumberType
    return kind in (types.MOBILE, types.FIXED_LINE_OR_MOBILE)


def is_region(text: str) -> bool:
    """True if libphonenumber knows this ISO 3166 region."""
    return text.upper() in phonenumbers.SUPPORTED_REGIONS


def digits(number: str) -> str:
    """An E.164 number without its `+`, as RFC 8225 wants it in `tn`."""
    return number.removeprefix("+")


def redact(number: str) -> str:
    """For logs: the last two digits only."""
    return f"+...{number[-2:]}"
