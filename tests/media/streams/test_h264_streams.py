"""H.264 as real encoders, cameras and gateways send it: where the parameter sets travel (RFC 6184 sections 8.2.2, 8.4)."""

import functools
from base64 import b64encode
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import negotiation, sdp
from media.codecs.video import make_decoder
from media.errors import CodecError
from media.parameters import LocalParameters, LocalVideo, VideoParameters
from media.payload import h264
from media.rtp.packet import RtpPacket
from media.streams.video_receiver import VideoReceiver

FRAMES, IDR_EVERY, LOST = 45, 15, 7
Packet = tuple[bytes, int, bool]  # payload, timestamp, marker
Layout = Callable[[int, list[bytes]], list[Packet]]


@functools.cache
def access_units(width: int = 160, height: int = 120) -> list[list[bytes]]:
    """The NAL units of each frame, an IDR picture with its sets at every IDR_EVERY."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.gop_size = Fraction(1, 30), Fraction(30), 10_000
    encoder.options = {"tune": "zerolatency", "profile": "baseline", "forced-idr": "1", "sc_threshold": "0"}
    units = []
    for index in range(FRAMES):
        picture = np.full((height * 3 // 2, width), 128, np.uint8)
        picture[20:60, 2 * index : 2 * index + 30] = 220
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = index
        kinds = av.video.frame.PictureType
        frame.pict_type = kinds.I if index % IDR_EVERY == 0 else kinds.NONE
        units += [h264.split_annex_b(bytes(p)) for p in encoder.encode(frame)]
    assert len(units) == FRAMES
    return units


def is_set(unit: bytes) -> bool:
    return h264.parameter_set_id(unit) is not None


def parameter_sets(units: list[list[bytes]]) -> list[bytes]:
    return [unit for unit in units[0] if is_set(unit)]


def whole(units: list[bytes], time: int) -> list[Packet]:
    """As one access unit, each NAL unit in packets of its own."""
    payloads = [p for unit in units for p in h264.packetize(h264.join_annex_b([unit]))]
    return [(p, time, index == len(payloads) - 1) for index, p in enumerate(payloads)]


def pictures(units: list[bytes]) -> list[bytes]:
    return [unit for unit in units if not is_set(unit)]


def sets(units: list[bytes]) -> list[bytes]:
    return [unit for unit in units if is_set(unit)]


def in_every_idr(i: int, units: list[bytes]) -> list[Packet]:
    return whole(units, 3000 * i)


def once(i: int, units: list[bytes]) -> list[Packet]:
    return whole(units if i == 0 else pictures(units), 3000 * i)


def with_their_own_time(i: int, units: list[bytes]) -> list[Packet]:
    apart = [(unit, 3000 * i - 900 + 300 * n, False) for n, unit in enumerate(sets(units))]
    return apart + whole(pictures(units), 3000 * i)


def with_a_marker_each(i: int, units: list[bytes]) -> list[Packet]:
    return [(unit, 3000 * i, True) for unit in sets(units)] + whole(pictures(units), 3000 * i)


def with_their_own_time_and_marker(i: int, units: list[bytes]) -> list[Packet]:
    apart = [(unit, 3000 * i - 900 + 300 * n, True) for n, unit in enumerate(sets(units))]
    return apart + whole(pictures(units), 3000 * i)


def together_in_a_packet_of_their_own(i: int, units: list[bytes]) -> list[Packet]:
    both = h264.packetize(h264.join_annex_b(sets(units)))
    return [(p, 3000 * i - 1, True) for p in both] + whole(pictures(units), 3000 * i)


def before_every_frame(i: int, units: list[bytes]) -> list[Packet]:
    return whole(parameter_sets(access_units()) + pictures(units), 3000 * i)


def behind_a_delimiter(i: int, units: list[bytes]) -> list[Packet]:
    """As VideoToolbox and many hardware encoders: an access unit delimiter and a message first."""
    return whole([b"\x09\xf0", b"\x06\x05\x01\x00\x80", *(units if i == 0 else pictures(units))], 3000 * i)


def cut_into_fragments(i: int, units: list[bytes]) -> list[Packet]:
    """Even the sets, in FU-A of 4 bytes."""
    out: list[Packet] = []
    for unit in sets(units):
        parts = [unit[1 + at : 5 + at] for at in range(0, len(unit) - 1, 4)]
        for index, part in enumerate(parts):
            flags = 0x80 * (index == 0) | 0x40 * (index == len(parts) - 1)
            header = bytes((unit[0] & 0xE0 | h264.FU_A, flags | unit[0] & 0x1F))
            out.append((header + part, 3000 * i, False))
    return out + whole(pictures(units), 3000 * i)


class Watched:
    """A receiver with a decoder; `parameters`: as they were negotiated."""

    def __init__(self, parameters: VideoParameters | None = None) -> None:
        self.receiver = VideoReceiver(parameters or VideoParameters("1", "H264", 102, 102), ssrc=1)
        self.decoder = make_decoder("H264")
        self.number = self.shown = self.asked = 0
        self.now = 10.0
        self.size: tuple[int, ...] = ()

    def receive(
        self, packets: list[Packet], *, lost: Callable[[bytes], bool] = lambda _: False, ssrc: int = 7
    ) -> None:
        """A frame's packets, then a thirtieth of a second."""
        for payload, time, marker in packets:
            self.number += 1
            if not lost(payload):
                packet = RtpPacket(102, self.number & 0xFFFF, time & 0xFFFFFFFF, ssrc, payload, marker=marker)
                self.receiver.receive(packet, self.now)
            self._decode()
        for _ in range(6):
            self.now += 1 / 180
            self.receiver.handle_timer(self.now)
            self.receiver.feedback_to_send(self.now)
            self._decode()
            self.shown += len(self.receiver.display.pictures_to_show(self.now))

    def _decode(self) -> None:
        while (request := self.receiver.next_request()) is not None:
            try:
                found = self.decoder.decode(request.frame.data)
                self.size = found[-1].shape if found else self.size
            except CodecError:
                found = None
            self.receiver.receive_decoded(request, found, 0.001, self.now)

    def play(self, layout: Layout, *, lost_frame: int | None = None) -> int:
        """How many of FRAMES are shown."""
        for index, units in enumerate(access_units()):
            self.receive(layout(index, units), lost=lambda _, i=index: i == lost_frame)
        return self.shown


LAYOUTS = [
    in_every_idr,
    once,
    with_their_own_time,
    with_a_marker_each,
    with_their_own_time_and_marker,
    together_in_a_packet_of_their_own,
    before_every_frame,
    behind_a_delimiter,
    cut_into_fragments,
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_picture_is_shown_wherever_the_sets_travel(layout: Layout) -> None:
    watched = Watched()
    assert watched.play(layout) == FRAMES
    assert watched.receiver.counters.decode_errors == 0
    assert watched.receiver.counters.pli_count <= (
        layout is behind_a_delimiter
    )  # the first packet is of no key frame
    assert watched.receiver.counters.frames_received == FRAMES, "sets are no frames"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_next_idr_picture_ends_a_freeze(layout: Layout) -> None:
    watched = Watched()
    assert watched.play(layout, lost_frame=LOST) == FRAMES - (IDR_EVERY - LOST)
    assert watched.receiver.counters.decode_errors == 0


def offer(fmtp: str) -> sdp.SessionDescription:
    fingerprint = ":".join(["AB"] * 32)
    return sdp.parse(
        "v=0\r\no=- 1 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE v\r\n"
        "m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:v\r\na=rtcp-mux\r\na=sendonly\r\n"
        f"a=ice-ufrag:abcd\r\na=ice-pwd:{'p' * 22}\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n"
        f"a=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1;profile-level-id=42e01f{fmtp}\r\n"
    )


LOCAL = LocalParameters(1, "abcd", "a" * 22, ":".join(["AB"] * 32), 1, "c", video=LocalVideo(2, 3))


def sprop(units: list[list[bytes]]) -> str:
    return ";sprop-parameter-sets=" + ",".join(b64encode(u).decode() for u in parameter_sets(units))


@pytest.mark.parametrize("lost_frame", [None, LOST])
def test_sets_that_are_in_the_description_only(lost_frame: int | None) -> None:
    answer, agreed = negotiation.create_answer(offer(sprop(access_units())), LOCAL)
    assert agreed.video is not None
    assert "sprop" not in str(answer), "they are those of what the peer sends"
    watched = Watched(agreed.video)
    frozen = 0 if lost_frame is None else IDR_EVERY - LOST
    assert (
        watched.play(lambda i, units: whole(pictures(units), 3000 * i), lost_frame=lost_frame)
        == FRAMES - frozen
    )
    assert watched.receiver.counters.decode_errors == 0


@pytest.mark.parametrize(
    "text", ["", ";sprop-parameter-sets=", ";sprop-parameter-sets=,,!,Zw==,aA,Z0LgC9oC" + ",Zw" * 500]
)
def test_a_description_with_sets_that_make_no_sense(text: str) -> None:
    _, agreed = negotiation.create_answer(offer(text), LOCAL)
    assert agreed.video is not None
    assert Watched(agreed.video).play(in_every_idr) == FRAMES


def test_pictures_without_any_sets_are_asked_for_and_not_given_to_the_decoder() -> None:
    watched = Watched()
    assert watched.play(lambda i, units: whole(pictures(units), 3000 * i)) == 0
    assert watched.receiver.counters.pli_count and not watched.receiver.counters.decode_errors


def test_a_lost_set_is_waited_for_and_its_picture_is_shown() -> None:
    """The retransmission comes 100 ms later; until then the IDR picture is not decoded with other sets or none."""
    watched, units = Watched(), access_units()
    packets = whole(units[0], 0)
    at = next(n for n, (p, _, _) in enumerate(packets) if p[0] & 0x1F == h264.PPS)
    watched.receive(packets, lost=lambda payload: payload == packets[at][0])
    for index in (1, 2):
        watched.receive(whole(units[index], 3000 * index))
    assert watched.shown == 0
    payload, time, marker = packets[at]
    watched.receiver.receive(RtpPacket(102, at + 1, time, 7, payload, marker=marker), watched.now)
    watched.receive(whole(units[3], 9000))
    assert watched.receiver.counters.decode_errors == 0
    assert watched.receiver.counters.frames_decoded == 4


def test_another_picture_size_in_the_middle_of_a_stream() -> None:
    """New sets under the ids of the old ones, once; what is repeated before an IDR picture are the newest."""
    watched = Watched()
    watched.play(once)
    for index, units in enumerate(access_units(320, 240)):
        watched.receive(
            once(index, units) if index else whole(units, 3000 * FRAMES), lost=lambda _, i=index: i == LOST
        )
        if index == 0:
            continue
    assert watched.size == (360, 320)
    assert watched.receiver.counters.decode_errors == 0


def test_another_source_brings_its_own_sets() -> None:
    watched = Watched()
    watched.play(once)
    before = watched.shown
    for index, units in enumerate(access_units(320, 240)):
        watched.receive(once(index, units), ssrc=8)
    assert watched.shown - before >= FRAMES - 1 and watched.size == (360, 320)


@given(
    st.lists(
        st.tuples(st.sampled_from([0x65, 0x67, 0x68, 0x78, 0x7C, 0x41, 0x06]), st.binary(max_size=40)),
        max_size=40,
    )
)
def test_any_units_raise_nothing_and_keep_little(units: list[tuple[int, bytes]]) -> None:
    receiver = VideoReceiver(VideoParameters("1", "H264", 102, 102), ssrc=1)
    for number, (head, body) in enumerate(units):
        packet = RtpPacket(
            102, number, 3000 * (number // 3), 7, bytes((head,)) + body, marker=number % 3 == 2
        )
        receiver.receive(packet, 10 + number / 100)
        while (request := receiver.next_request()) is not None:
            receiver.receive_decoded(request, [], 0.001, 10 + number / 100)
        receiver.feedback_to_send(10 + number / 100)
