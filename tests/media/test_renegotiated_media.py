"""What later descriptions change for the streams of a running call, and what then is on the wire, in virtual time."""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from media.engine import MediaEngine
from media.jsep import Jsep
from media.negotiation import LocalParameters, LocalVideo, Negotiated
from media.rtp.packet import RtpPacket
from media.rtp.rtcp import PSFB, Feedback, SenderReport, parse_compound, serialize_compound
from media.simulation.picture import Pattern
from media.simulation.video import SimulatedVideo, VideoEnd
from media.simulation.voice import tone
from media.transport.srtp import PROFILES, SrtpKeys, SrtpSession

DIGEST = ":".join(["AB"] * 32)
KEYS = SrtpKeys(PROFILES[0], bytes(range(28)), bytes(range(50, 78)))
PATTERN = Pattern(160, 120)
DELAY = 0.02


class End:
    """An engine, its descriptions, a voice and a camera that never rest."""

    def __init__(self, seed: int, keys: SrtpKeys) -> None:
        self.engine = MediaEngine(rng=Random(seed), unix_time_offset=1.7e9)
        self.jsep = Jsep()
        self.engine.set_keys(keys, 100.0)
        self.seen = 0
        video = SimulatedVideo(PATTERN.picture, screen=self._see)
        self.video = VideoEnd(video, self.engine, PATTERN.picture)
        self.wire = SrtpSession(keys.swapped())
        self.local = LocalParameters(
            seed, "abcd", "a" * 22, DIGEST, self.engine.ssrc, self.engine.cname,
            video=LocalVideo(self.engine.video_ssrc, self.engine.rtx_ssrc),
        )  # fmt: skip
        self.sent: Counter[int] = Counter()  # packets of media by payload type
        self.mids: set[bytes] = set()
        self.extension_ids: set[int] = set()
        self.heard = 0.0

    def _see(self, frame: object, now: float) -> None:
        self.seen += 1

    def apply(self, agreed: Negotiated) -> None:
        """As a connection does."""
        if agreed.audio is not None:
            self.engine.configure_audio(agreed.audio)
        if agreed.video is not None:
            self.engine.configure_video(agreed.video)

    def close(self) -> None:
        self.engine.close(200.0)
        self.video.close()


class Call:
    def __init__(self) -> None:
        self.alice, self.bob = self.ends = End(1, KEYS), End(2, KEYS.swapped())
        self.now = 100.0
        self.reported: set[int] = set()  # SSRCs of sender reports
        self._flying: list[tuple[float, int, int, bytes]] = []
        self._ticks = self._order = 0
        self._bob = SrtpSession(KEYS.swapped())

    def negotiate(self, offerer: End, answerer: End) -> tuple[Negotiated, Negotiated]:
        offer = str(offerer.jsep.offer(offerer.local))
        answer, there = answerer.jsep.answer(offer, answerer.local)
        here = offerer.jsep.set_answer(str(answer))
        offerer.apply(here)
        answerer.apply(there)
        return here, there

    def run(self, seconds: float) -> None:
        for end in self.ends:
            end.sent.clear()
            end.seen, end.heard = 0, 0.0
        self.reported.clear()
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            self._ticks += 1
            while self._flying and self._flying[0][0] <= self.now:
                _, _, to, data = heapq.heappop(self._flying)
                self.ends[to].engine.receive_packet(data, self.now)
            for index, end in enumerate(self.ends):
                if self._ticks % 2 == 0:
                    end.engine.push_audio(tone(300 + 100 * index, 960 * self._ticks, 960, 0.3), self.now)
                if self._ticks % 5 == 0:
                    end.video.capture(self.now)
                end.engine.handle_timer(self.now)
                end.video.work(self.now)
                end.heard += float(abs(end.engine.pull_audio(self.now).astype(float)).mean()) / (
                    100 * seconds
                )
                for data in end.engine.packets_to_send(self.now):
                    self._look(end, data)
                    self._order += 1
                    heapq.heappush(self._flying, (self.now + DELAY, self._order, 1 - index, data))
                due = end.engine.get_timer()
                assert due is None or due > self.now - 0.02, "a timer that nobody serves"

    def _look(self, end: End, data: bytes) -> None:
        if 192 <= data[1] <= 223:
            packets = parse_compound(end.wire.unprotect_rtcp(data))
            self.reported |= {p.ssrc for p in packets if isinstance(p, SenderReport)}
        else:
            packet = RtpPacket.parse(end.wire.unprotect(data))
            end.sent[packet.payload_type] += 1
            end.mids |= set(packet.extensions.values())
            end.extension_ids |= packet.extensions.keys()


@pytest.fixture
def call() -> Iterator[Call]:
    made = Call()
    made.negotiate(made.alice, made.bob)
    made.run(0.6)
    assert made.alice.seen > 5 and made.bob.seen > 5
    assert made.alice.heard > 500 and made.bob.heard > 500
    yield made
    for end in made.ends:
        end.close()


def stopped(end: End, kind: str) -> str:
    """An offer of an end whose application stopped a section."""
    offer = end.jsep.offer(end.local)
    (media,) = (m for m in offer.media if m.kind == kind)
    media.port, media.direction = 0, "inactive"
    offer.bundle.remove(media.mid)
    return str(offer)


VOICE, VIDEO = {111, 63, 112}, {96, 97, 98, 99}


@pytest.mark.parametrize(
    ("kind", "payload_types", "other"), [("audio", VOICE, VIDEO), ("video", VIDEO, VOICE)]
)
def test_a_section_that_the_peer_stops_sends_nothing_from_then_on(
    call: Call, kind: str, payload_types: set[int], other: set[int]
) -> None:
    """No packet of media, no retransmission, no sender report, although voice and camera go on giving."""
    alice, bob = call.ends
    _, agreed = alice.jsep.answer(stopped(bob, kind), alice.local)
    alice.apply(agreed)
    alice.engine.pull_audio(call.now)
    requests = Feedback(205, 1, bob.engine.ssrc, 0, b"")
    for ssrc in (alice.engine.ssrc, alice.engine.video_ssrc):  # for all that was sent before
        fci = b"".join((base << 16 | 0xFFFF).to_bytes(4, "big") for base in range(0, 0x10000, 17))
        data = serialize_compound([replace(requests, media_ssrc=ssrc, fci=fci[:1000])])
        alice.engine.receive_packet(call._bob.protect_rtcp(data), call.now)
    call.run(1)
    assert not payload_types & alice.sent.keys(), alice.sent
    assert other & alice.sent.keys(), "the other stream goes on"
    ssrc = alice.engine.ssrc if kind == "audio" else alice.engine.video_ssrc
    assert ssrc not in call.reported
    # what the peer still sends of it is for nobody
    assert alice.heard < 1 if kind == "audio" else alice.seen < 5


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_stopped_section_begins_anew(call: Call, kind: str) -> None:
    alice, bob = call.ends
    alice.apply(alice.jsep.answer(stopped(bob, kind), alice.local)[1])
    call.run(1)
    call.negotiate(bob, alice)
    call.run(1)
    assert VOICE & alice.sent.keys() and VIDEO & alice.sent.keys()
    assert alice.seen > 8 and bob.seen > 8 and alice.heard > 500 and bob.heard > 500


def test_an_answer_that_rejects_stops_both_ends(call: Call) -> None:
    alice, bob = call.ends
    bob.local = replace(bob.local, video=None)
    call.negotiate(alice, bob)
    call.run(1)
    for end in call.ends:
        assert not VIDEO & end.sent.keys() and VOICE & end.sent.keys()
        assert end.heard > 500


def test_a_direction_that_the_peer_does_not_take(call: Call) -> None:
    """On hold by SDP (RFC 3264 section 8.4): what waits in the pacer is not sent either."""
    alice, bob = call.ends
    bob.local = replace(bob.local, receive=False, video=replace(bob.local.video, receive=False))
    call.negotiate(bob, alice)
    call.run(1)
    assert not alice.sent and alice.heard > 500 and alice.seen > 8
    bob.local = replace(bob.local, receive=True, video=replace(bob.local.video, receive=True))
    call.negotiate(bob, alice)
    call.run(1)
    assert bob.heard > 500 and bob.seen > 8, "a key frame comes by itself"


@pytest.mark.parametrize(
    ("name", "alice_offers"),
    [
        ("PCMU", True),
        pytest.param("G722", False, marks=pytest.mark.long),
        pytest.param("PCMA", False, marks=pytest.mark.long),
    ],
)
def test_another_voice_codec_and_back(call: Call, name: str, alice_offers: bool) -> None:
    alice, bob = call.ends
    first, second = (alice, bob) if alice_offers else (bob, alice)
    for names, number in (((name,), {"PCMU": 0, "PCMA": 8, "G722": 9}[name]), (("opus",), 111)):
        before = [end.engine.sender.rtp.packets_sent for end in call.ends]
        second.local = replace(second.local, audio_codecs=names)
        here, there = call.negotiate(first, second)
        assert here.audio.send_payload_type == there.audio.send_payload_type == number
        call.run(1)
        for end, sent in zip(call.ends, before, strict=True):
            assert end.sent[number] + end.sent[63] > 40 and not end.sent.keys() & ({0, 8, 9, 111} - {number})
            assert end.heard > 500, (end, names)
            assert end.engine.sender.rtp.packets_sent > sent + 40, "one source, which counts on"
            assert end.engine.receiver.packets_discarded == 0


@pytest.mark.parametrize("alice_offers", [True, pytest.param(False, marks=pytest.mark.long)])
def test_another_video_codec_and_back(call: Call, alice_offers: bool) -> None:
    alice, bob = call.ends
    first, second = (alice, bob) if alice_offers else (bob, alice)
    for name, number in (("H264", 98), ("VP8", 96)):
        second.local = replace(second.local, video=replace(second.local.video, codecs=(name,)))
        here, there = call.negotiate(first, second)
        assert here.video.codec == there.video.codec == name
        call.run(1)
        for end in call.ends:
            assert end.sent[number] and not end.sent.keys() & ({96, 98} - {number})
            assert end.seen > 12, "without a pause that anybody sees"
            assert end.engine.video_receiver.counters.decode_errors == 0


def test_pictures_of_the_codec_before_are_shown_until_the_new_ones_come(call: Call) -> None:
    """The peer takes its time: it goes on with what it had until it has our answer."""
    alice, bob = call.ends
    bob.local = replace(bob.local, video=replace(bob.local.video, codecs=("H264",)))
    offer = str(bob.jsep.offer(replace(bob.local, video=replace(bob.local.video, codecs=("H264", "VP8")))))
    answer, there = alice.jsep.answer(
        offer, replace(alice.local, video=replace(alice.local.video, codecs=("H264",)))
    )
    alice.apply(there)
    call.run(1)
    assert alice.seen > 12
    bob.apply(bob.jsep.set_answer(str(answer)))
    call.run(1)
    assert alice.seen > 12 and bob.seen > 12


def test_other_numbers_for_the_same_codecs(call: Call) -> None:
    """A peer that renumbers all the same: what was agreed last holds."""
    alice, bob = call.ends
    offer = str(bob.jsep.offer(bob.local))
    for old, new in (
        ("111", "109"),
        (":96 ", ":120 "),
        (" 96 ", " 120 "),
        ("apt=96", "apt=120"),
        ("extmap:1 ", "extmap:7 "),
    ):
        offer = offer.replace(old, new)
    _, agreed = alice.jsep.answer(offer, alice.local)
    alice.apply(agreed)
    assert agreed.audio.mid_extension == 7
    call.run(0.2)  # what waits in the pacer has the numbers of before
    call.run(1)
    assert 109 in alice.sent and 120 in alice.sent and not {111, 96} & alice.sent.keys()


def test_a_camera_that_joins(call: Call) -> None:
    """And another mid after it was stopped: the first packets name it, for who tells streams apart by that."""
    alice, bob = call.ends
    alice.apply(alice.jsep.answer(stopped(bob, "video"), alice.local)[1])
    call.run(1)
    alice.jsep.offer_again("video")
    here, _ = call.negotiate(alice, bob)
    assert here.video.mid == "2"
    call.run(1)
    assert VIDEO & alice.sent.keys() and bob.seen > 8
    assert b"2" in alice.mids


def test_nothing_answers_for_a_stopped_video(call: Call) -> None:
    """A request for a key frame of what is not sent costs nothing and brings nothing."""
    alice, bob = call.ends
    alice.apply(alice.jsep.answer(stopped(bob, "video"), alice.local)[1])
    pli = Feedback(PSFB, 1, bob.engine.ssrc, alice.engine.video_ssrc, b"")
    alice.engine.receive_packet(call._bob.protect_rtcp(serialize_compound([pli])), call.now)
    call.run(1)
    assert not VIDEO & alice.sent.keys() and alice.engine.next_encode_request() is None


def test_extensions_in_two_byte_headers(call: Call) -> None:
    """RFC 8285 section 4.3: a peer whose ids are above 14; both directions, also of retransmissions."""
    alice, bob = call.ends
    offer = (
        str(bob.jsep.offer(bob.local)).replace("extmap:1 ", "extmap:20 ").replace("extmap:2 ", "extmap:200 ")
    )
    answer, agreed = alice.jsep.answer(offer, alice.local)
    assert (
        "a=extmap:20 " in str(answer)
        and "a=extmap:200 " in str(answer)
        and "extmap-allow-mixed" in str(answer)
    )
    for end in call.ends:
        end.apply(agreed)
    before = [end.engine.transport.packets_refused for end in call.ends]
    call.run(1)
    for end, refused in zip(call.ends, before, strict=True):
        assert {20, 200} <= end.extension_ids
        assert end.heard > 500 and end.seen > 8 and end.engine.transport.packets_refused == refused
