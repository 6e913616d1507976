"""Values on the client's command lines, checked before a server is asked. All raise ArgumentTypeError but one."""

import argparse

from signaling.errors import InvalidNumber
from signaling.phone_number import HOW, is_region, parse_number
from signaling.problem import Problem
from signaling.registration_pin import read_pin


def six_digits(text: str) -> str:
    """The code of an SMS, as people type it."""
    code = text.replace(" ", "").replace("-", "")
    if len(code) != 6 or not (code.isascii() and code.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a code: it has six digits")
    return code


def pin_digits(text: str) -> str:
    """A registration PIN."""
    try:
        return read_pin(text)
    except Problem:
        raise argparse.ArgumentTypeError("a PIN has 6 to 20 digits") from None


def country(text: str) -> str:
    """An ISO 3166 code."""
    region = text.upper()
    if not is_region(region):
        raise argparse.ArgumentTypeError(f"{text!r} is not the code of a country, such as US")
    return region


def check_number(text: str, region: str | None) -> None:
    """As far as it can be checked without the server, which knows its own country. Raises InvalidNumber."""
    if region is not None or text.strip().startswith("+"):
        parse_number(text, region)
    elif sum(character.isdigit() for character in text) < 3:
        raise InvalidNumber(f"{text[:64]!r} is not a phone number: {HOW}")
