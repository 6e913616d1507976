"""Named networks, and networks written as a line of text: `loss10`, `wifi`, `"delay=80 jitter=20 loss=0.03"`.

The first group has the names and parameters of the project's measurement lab, so that a call in virtual time
and a call over real sockets can be compared. Keys of a line (both here and there):

    delay jitter (ms), dist (uniform, normal, exp), reorder (0, 1), loss (0..1), ge_p ge_r (per packet) or
    ge_good_ms ge_bad_ms (mean sojourn in time), ge_bad ge_good (0..1), dup (0..1), rate (kbit/s),
    qms qbytes (the bottleneck's queue), outage (0, 1)
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from media.errors import MediaError
from media.simulation.link import STEADY, Link, LinkParameters, Schedule, Step, Value

# Longest line that is read; the longest sensible one is a third of it.
MAX_LINE_CHARACTERS = 1000


class UnknownProfile(MediaError, ValueError):
    """No profile has this name, or the line that describes a network cannot be read."""


@dataclass(frozen=True, slots=True)
class Direction:
    """What one direction of a profile is made of."""

    parameters: LinkParameters
    schedule: Schedule = STEADY


@dataclass(frozen=True, slots=True)
class Profile:
    """A named pair of directions: `a_to_b` from the caller to the callee, `b_to_a` back."""

    name: str
    note: str
    a_to_b: Direction
    b_to_a: Direction

    def links(self, seed: int, start: float | None = None) -> tuple[Link, Link]:
        """Fresh links (a to b, b to a). Same seed, same decisions."""
        return (
            _link(self.a_to_b, random.Random(f"{seed}/ab"), start),
            _link(self.b_to_a, random.Random(f"{seed}/ba"), start),
        )


def _link(direction: Direction, rng: random.Random, start: float | None) -> Link:
    return Link(direction.parameters, rng, direction.schedule, start)


_SWITCH = {"0": False, "1": True}
# key -> (field, factor)
_NUMBERS: dict[str, tuple[str, float]] = {
    "delay": ("delay_ms", 1),
    "jitter": ("jitter_ms", 1),
    "loss": ("loss", 1),
    "ge_p": ("ge_p", 1),
    "ge_r": ("ge_r", 1),
    "ge_good_ms": ("ge_good_ms", 1),
    "ge_bad_ms": ("ge_bad_ms", 1),
    "ge_good": ("ge_good", 1),
    "ge_bad": ("ge_bad", 1),
    "dup": ("duplicate", 1),
    "rate": ("rate_bps", 1000),
    "qms": ("queue_ms", 1),
    "qbytes": ("queue_bytes", 1),
}
KEYS = (*_NUMBERS, "dist", "reorder", "outage")


def parse_line(line: str) -> dict[str, Value]:
    """`key=value` words (blanks or commas between) as changes of `LinkParameters`. Raises UnknownProfile."""
    if len(line) > MAX_LINE_CHARACTERS:
        raise UnknownProfile(f"a network is described in at most {MAX_LINE_CHARACTERS} characters")
    changes: dict[str, Value] = {}
    for word in line.replace(",", " ").split():
        key, equals, value = word.partition("=")
        try:
            if key in _NUMBERS and equals:
                field, factor = _NUMBERS[key]
                changes[field] = float(value) * factor
            elif key == "dist" and equals:
                changes["distribution"] = value
            elif key in ("reorder", "outage") and equals:
                changes[key] = _SWITCH[value]
            else:
                raise UnknownProfile(f"{word!r} is no key=value of a network; keys: {', '.join(KEYS)}")
        except (ValueError, KeyError) as error:
            if isinstance(error, UnknownProfile):
                raise
            raise UnknownProfile(f"{value!r} is no value for {key} of a network") from None
    try:
        LinkParameters().changed(changes)
    except ValueError as error:
        raise UnknownProfile(f"no such network: {error}") from None
    return changes


def _direction(line: str, steps: Mapping[float, str] | None = None, loop: float | None = None) -> Direction:
    schedule = Schedule(tuple(Step(at, parse_line(text)) for at, text in (steps or {}).items()), loop)
    return Direction(LinkParameters().changed(parse_line(line)), schedule)


def _both(
    name: str, note: str, line: str, steps: Mapping[float, str] | None = None, loop: float | None = None
) -> Profile:
    direction = _direction(line, steps, loop)
    return Profile(name, note, direction, direction)


_ALL = (
    _both("none", "nothing in the way", ""),
    _both("clean", "10 ms, no loss", "delay=10"),
    _both("loss5", "5 % random loss", "delay=30 loss=0.05"),
    _both("loss10", "10 % random loss", "delay=30 loss=0.10"),
    _both("loss20", "20 % random loss", "delay=30 loss=0.20"),
    # Stationary loss p / (p + r) = 10 %, mean burst 1 / r = 3.5 packets.
    _both("burst", "10 % loss in bursts of 3.5 packets", "delay=30 ge_p=0.03175 ge_r=0.2857 ge_bad=1.0"),
    # The same share, but a burst lasts a time: more packets do not shorten it.
    _both("burst_time", "10 % loss in bursts of 70 ms", "delay=30 ge_bad_ms=70 ge_good_ms=630 ge_bad=1.0"),
    _both("rtt300", "300 ms round trip, 10 % random loss", "delay=150 loss=0.10"),
    _both("jitter", "40 +- 30 ms, in order", "delay=40 jitter=30 dist=uniform reorder=0"),
    _both("jitter_reorder", "40 +- 30 ms, overtaking", "delay=40 jitter=30 dist=uniform reorder=1"),
    _both(
        "spike",
        "every 3 s everything is held for 200 ms",
        "delay=20 jitter=3 reorder=0",
        {0.0: "delay=20", 2.0: "delay=220", 2.03: "delay=20", 3.0: "delay=20"},
        3.0,
    ),
    _both("lowbw", "48 kbit/s, 300 ms queue", "delay=50 rate=48 qms=300"),
    _both("video_clean", "10 ms, no loss", "delay=10"),
    _both("video_1mbit", "1 Mbit/s, 200 ms queue", "delay=30 rate=1000 qms=200"),
    _both("video_300k", "300 kbit/s, 200 ms queue", "delay=30 rate=300 qms=200"),
    _both("video_loss5", "5 % random loss", "delay=30 loss=0.05"),
    _both("video_loss2", "2 % random loss", "delay=30 loss=0.02"),
    # Not measured on one network: a composition of what a middling home Wi-Fi does. 15 ms to a peer in the
    # same country; a few ms of contention; 1.2 % loss as short fades (25 ms, 70 % of the packets, one every
    # 1.5 s); now and then the channel is taken (a scan, a neighbour's burst) and all is held for 60 to
    # 100 ms, then comes at once. A held packet holds those behind it, so a step of 30 ms catches one 20 ms
    # frame at least.
    _both(
        "wifi",
        "a middling home Wi-Fi: 15 ms, fades of 25 ms (1.2 % loss), stalls of 60 to 100 ms",
        "delay=15 jitter=3 dist=exp ge_bad_ms=25 ge_good_ms=1475 ge_bad=0.7 rate=20000 qms=100",
        {
            0.0: "delay=15", 2.30: "delay=75", 2.33: "delay=15", 5.10: "delay=95", 5.13: "delay=15",
            8.40: "delay=115", 8.43: "delay=15",
        },
        10.0,
    ),
    # The rest are compositions too: orders of magnitude, for a first look.
    Profile(
        "lte",
        "a phone on LTE (caller) to a wired peer: 35 ms, hand-over pauses",
        _direction(
            "delay=35 jitter=6 dist=exp loss=0.002 rate=5000 qms=500",
            {0.0: "delay=35", 6.0: "delay=95", 6.03: "delay=35"},
            12.0,
        ),
        _direction(
            "delay=35 jitter=4 dist=exp loss=0.002 rate=20000 qms=500",
            {0.0: "delay=35", 6.0: "delay=95", 6.03: "delay=35"},
            12.0,
        ),
    ),
    Profile(
        "poor_3g",
        "a phone on weak 3G (caller): 100 to 150 ms, 3 % loss, 250 kbit/s up",
        _direction("delay=110 jitter=25 dist=exp ge_bad_ms=60 ge_good_ms=1940 ge_bad=1 rate=250 qms=800"),
        _direction("delay=100 jitter=20 dist=exp ge_bad_ms=60 ge_good_ms=1940 ge_bad=1 rate=800 qms=800"),
    ),
    _both("satellite", "geostationary: 290 ms each way, 0.5 % loss", "delay=290 jitter=5 loss=0.005"),
    _both(
        "congested",
        "a full home uplink: 30 ms, up to 250 ms of queue, 2 % loss",
        "delay=30 jitter=12 dist=exp loss=0.02 rate=400 qms=250",
    ),
)  # fmt: skip
PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in _ALL}


def get_profile(name: str) -> Profile:
    """The profile of that name, or the network that the line describes. Raises UnknownProfile."""
    if name in PROFILES:
        return PROFILES[name]
    if "=" in name:
        direction = Direction(LinkParameters().changed(parse_line(name)))
        return Profile(" ".join(name.split()), "as given", direction, direction)
    raise UnknownProfile(f"no network profile {name!r}; there are: {', '.join(PROFILES)}")
