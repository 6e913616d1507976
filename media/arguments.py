"""Values on a command line, checked as they are read. All raise ArgumentTypeError."""

import argparse
import ipaddress
import math
from collections.abc import Callable
from typing import NoReturn

from media.simulation.profiles import UnknownProfile, get_profile


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (usage: {self.prog} --help)\n")


def seconds(least: float, most: float) -> Callable[[str], float]:
    """A number of seconds from `least` to `most`."""
    return quantity(least, most, "a number of seconds")


def quantity(least: float, most: float, what: str = "a number") -> Callable[[str], float]:
    """A number from `least` to `most`, which `nan` is not."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {least:g} to {most:g}")
        return value

    return parse


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """A whole number from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return value

    return parse


seed = whole_number(0, 2**63 - 1)


def network(text: str) -> str:
    """The name of an emulated network, or a line that describes one."""
    try:
        get_profile(text)
    except (UnknownProfile, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def ip_address(text: str) -> str:
    """A literal IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address") from None
    return text
