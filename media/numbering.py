"""Which payload type and extension id means what, for a whole session.

A number keeps its meaning once it was said (RFC 3264 section 8.3.2, RFC 8285 section 6), in all sections of a BUNDLE
(RFC 9143 section 9.1): whoever offers next uses the numbers of before, the other's, too. With others Firefox goes
mute and blind, and Chromium's page crashes.
"""

from collections.abc import Iterable
from itertools import chain

from media.sdp import Codec, MediaDescription, SessionDescription

FIRST_DYNAMIC = 35  # below, a payload type has one meaning (RFC 3551 section 6)
# Dynamic ones (RFC 3551 section 3), then those that RTCP on the same port leaves free (RFC 5761 section 4).
PAYLOAD_TYPES = (*range(96, 128), *range(FIRST_DYNAMIC, 64))
EXTENSION_IDS = range(1, 15)  # that fit into one-byte headers
PROFILE_DIGITS = 4  # of H.264's profile-level-id; the level is no part of the meaning

_Meaning = tuple[object, ...]


class Numbering:
    """The numbers of one session, of both ends."""

    def __init__(self) -> None:
        self._payload_types: dict[_Meaning, int] = {}
        self._taken_payload_types: set[int] = set()
        self._extensions: dict[str, int] = {}
        self._taken_extensions: set[int] = set()

    def learn(self, *descriptions: SessionDescription) -> None:
        """An offer and its answer hold from now on."""
        for media in chain.from_iterable(description.media for description in descriptions):
            for codec in media.codecs:
                self._payload_types.setdefault(_meaning(codec, media.kind, media.codecs), codec.payload_type)
            self._taken_payload_types |= {int(f) for f in media.formats if f.isascii() and f.isdigit()}
            self._taken_payload_types |= {codec.payload_type for codec in media.codecs}
            for identifier, uri in media.extensions.items():
                self._extensions.setdefault(uri, identifier)
            self._taken_extensions |= media.extensions.keys()

    def codecs(self, media: MediaDescription, wanted: Iterable[Codec]) -> list[Codec]:
        """`wanted` under the session's numbers, to be offered in this section beside those that it has.

        A codec stands before its RED and RTX, which refer to it. One for which there is no number is left out.
        """
        given: list[Codec] = []
        numbers: dict[str, str] = {}
        taken = self._taken_payload_types | {codec.payload_type for codec in media.codecs}
        for codec in wanted:
            preferred = codec.payload_type
            codec.parameters = {
                _renumbered(name, numbers): _renumbered(value, numbers) if name == "apt" else value
                for name, value in codec.parameters.items()
            }
            number = self._payload_types.get(_meaning(codec, media.kind, given))
            if number is None:
                number = preferred
                if preferred >= FIRST_DYNAMIC:
                    number = next((n for n in (preferred, *PAYLOAD_TYPES) if n not in taken), -1)
            if number >= 0:
                codec.payload_type = number
                numbers[str(preferred)] = str(number)
                taken.add(number)
                given.append(codec)
        return given

    def extensions(self, media: MediaDescription, wanted: dict[int, str]) -> dict[int, str]:
        """As codecs(), for header extensions: id -> URI."""
        given: dict[int, str] = {}
        for preferred, uri in wanted.items():
            taken = self._taken_extensions | media.extensions.keys() | given.keys()
            free = (n for n in (preferred, *EXTENSION_IDS) if n not in taken)
            identifier = self._extensions.get(uri) or next(free, None)
            if identifier is not None:
                given[identifier] = uri
        return given


def _meaning(codec: Codec, kind: str, beside: Iterable[Codec]) -> _Meaning:
    """What a payload type stands for; `beside`: the codecs that RED and RTX may refer to."""
    meaning: _Meaning = (kind, codec.name.lower(), codec.clock_rate, codec.channels)
    match codec.name.lower():
        case "h264":
            profile = codec.parameters.get("profile-level-id", "").lower()[:PROFILE_DIGITS]
            return (*meaning, codec.parameters.get("packetization-mode", "0"), profile)
        case "rtx":
            target = codec.parameters.get("apt", "")
        case "red":
            target = next(iter(codec.parameters), "").partition("/")[0]
        case _:
            return meaning
    of = next((c for c in beside if str(c.payload_type) == target and c is not codec), None)
    return (*meaning, None if of is None or of.name.lower() in ("rtx", "red") else _meaning(of, kind, ()))


def _renumbered(text: str, numbers: dict[str, str]) -> str:
    """Payload types between slashes (111, 111/111); anything else stays."""
    return "/".join(numbers.get(part, part) for part in text.split("/"))
