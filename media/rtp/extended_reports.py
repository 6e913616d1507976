"""RTCP extended reports (RFC 3611): what a voice receiver heard, and the round trip of an end that only receives.

Block types 4 (receiver reference time), 5 (delay since the last of these) and 7 (VoIP metrics). Others are skipped,
as section 3 asks, and so are blocks of a length that is not their type's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from media.errors import PacketError
from media.rtp.rtcp import ExtendedReport

REFERENCE_TIME, DELAY_SINCE_LAST, VOIP_METRICS = 4, 5, 7
UNAVAILABLE = 127  # of levels, R and MOS
PLC_ENHANCED, JITTER_BUFFER_ADAPTIVE = 2, 3  # section 4.7.6

_HEADER = Struct("!BBH")
_TIME = Struct("!Q")
_DELAY = Struct("!III")
_VOIP = Struct("!IBBBBHHHHbbBBBBBBBxHHH")


@dataclass(frozen=True, slots=True)
class ReceiverReferenceTime:
    """When the report was sent (section 4.4): 64-bit NTP time of its sender."""

    ntp_time: int


@dataclass(frozen=True, slots=True)
class DelaySinceLast:
    """The answer to the reference time of receiver `ssrc` (section 4.5)."""

    ssrc: int
    last_reference: int  # middle 32 bits of its NTP time, 0 if none came
    delay: int  # in 1/65536 s


@dataclass(frozen=True, slots=True)
class VoipMetrics:
    """How source `ssrc` was heard since the beginning of the call (section 4.7).

    Rates and densities are shares, 0 to 1; on the wire they have eight bits. What was lost and came back from a copy
    or a retransmission is in none of them. R is 0 to 100, MOS 1 to 5; None: not known.
    """

    ssrc: int
    loss_rate: float = 0.0
    discard_rate: float = 0.0  # too late, or too early
    burst_density: float = 0.0
    gap_density: float = 0.0
    burst_duration_ms: int = 0
    gap_duration_ms: int = 0
    round_trip_ms: int = 0  # 0: not known
    end_system_delay_ms: int = 0
    signal_level_dbm: int | None = None
    noise_level_dbm: int | None = None
    echo_return_loss_db: int | None = None
    gmin: int = 16
    r_factor: int | None = None
    external_r_factor: int | None = None
    mos_lq: float | None = None
    mos_cq: float | None = None
    concealment: int = PLC_ENHANCED  # 0 to 3
    jitter_buffer_kind: int = JITTER_BUFFER_ADAPTIVE  # 0 to 3
    jitter_buffer_rate: int = 0  # 0 to 15
    jitter_buffer_nominal_ms: int = 0
    jitter_buffer_maximum_ms: int = 0
    jitter_buffer_absolute_maximum_ms: int = 0


Block = ReceiverReferenceTime | DelaySinceLast | VoipMetrics


def build(ssrc: int, blocks: Sequence[Block]) -> ExtendedReport:
    """The report of SSRC `ssrc`. What does not fit its field is cut to what does."""
    return ExtendedReport(ssrc, b"".join(_build(block) for block in blocks))


def _build(block: Block) -> bytes:
    match block:
        case ReceiverReferenceTime():
            return _HEADER.pack(REFERENCE_TIME, 0, 2) + _TIME.pack(block.ntp_time)
        case DelaySinceLast():
            words = _DELAY.pack(block.ssrc, block.last_reference, block.delay)
            return _HEADER.pack(DELAY_SINCE_LAST, 0, 3) + words
        case VoipMetrics():
            m = block
            shares = (m.loss_rate, m.discard_rate, m.burst_density, m.gap_density)
            times = (m.burst_duration_ms, m.gap_duration_ms, m.round_trip_ms, m.end_system_delay_ms)
            sizes = (
                m.jitter_buffer_nominal_ms,
                m.jitter_buffer_maximum_ms,
                m.jitter_buffer_absolute_maximum_ms,
            )
            words = _VOIP.pack(
                m.ssrc,
                *(_cut(int(share * 256), 255) for share in shares),
                *(_cut(time, 0xFFFF) for time in times),
                _or_unavailable(m.signal_level_dbm, -128, 126),
                _or_unavailable(m.noise_level_dbm, -128, 126),
                _or_unavailable(m.echo_return_loss_db, 0, 126),
                _cut(m.gmin, 255),
                _or_unavailable(m.r_factor, 0, 100),
                _or_unavailable(m.external_r_factor, 0, 100),
                _or_unavailable(None if m.mos_lq is None else round(10 * m.mos_lq), 10, 50),
                _or_unavailable(None if m.mos_cq is None else round(10 * m.mos_cq), 10, 50),
                m.concealment << 6 | m.jitter_buffer_kind << 4 | m.jitter_buffer_rate,
                *(_cut(size, 0xFFFF) for size in sizes),
            )
            return _HEADER.pack(VOIP_METRICS, 0, 8) + words


def _cut(value: int, most: int) -> int:
    return min(most, max(0, value))


def _or_unavailable(value: int | None, least: int, most: int) -> int:
    return UNAVAILABLE if value is None else min(most, max(least, value))


def parse(report: ExtendedReport) -> list[Block]:
    """The blocks that are known, up to one that runs over the end.

    Raises:
        PacketError: already the first one does.
    """
    data, position = report.blocks, 0
    blocks: list[Block] = []
    while position < len(data):
        words = int.from_bytes(data[position + 2 : position + 4], "big")
        if position + 4 + 4 * words > len(data):
            if position == 0:
                raise PacketError("RTCP extended report block runs over the end")
            break
        kind = data[position]
        body = data[position + 4 : position + 4 + 4 * words]
        position += 4 + 4 * words
        if kind == REFERENCE_TIME and words == 2:
            blocks.append(ReceiverReferenceTime(*_TIME.unpack(body)))
        elif kind == DELAY_SINCE_LAST and words % 3 == 0:
            blocks += [DelaySinceLast(*each) for each in _DELAY.iter_unpack(body)]
        elif kind == VOIP_METRICS and words == 8:
            blocks.append(_voip_metrics(body))
    return blocks


def _voip_metrics(body: bytes) -> VoipMetrics:
    (ssrc, loss, discard, burst, gap, burst_ms, gap_ms, round_trip_ms, end_system_ms, *levels) = _VOIP.unpack(
        body
    )
    signal, noise, echo, gmin, r, external_r, mos_lq, mos_cq, configuration, nominal, maximum, most = levels
    return VoipMetrics(
        ssrc=ssrc,
        loss_rate=loss / 256,
        discard_rate=discard / 256,
        burst_density=burst / 256,
        gap_density=gap / 256,
        burst_duration_ms=burst_ms,
        gap_duration_ms=gap_ms,
        round_trip_ms=round_trip_ms,
        end_system_delay_ms=end_system_ms,
        signal_level_dbm=_unless_unavailable(signal, 126),
        noise_level_dbm=_unless_unavailable(noise, 126),
        echo_return_loss_db=_unless_unavailable(echo, 126),
        gmin=gmin,
        r_factor=_unless_unavailable(r, 100),
        external_r_factor=_unless_unavailable(external_r, 100),
        mos_lq=mos_lq / 10 if 10 <= mos_lq <= 50 else None,
        mos_cq=mos_cq / 10 if 10 <= mos_cq <= 50 else None,
        concealment=configuration >> 6,
        jitter_buffer_kind=configuration >> 4 & 3,
        jitter_buffer_rate=configuration & 15,
        jitter_buffer_nominal_ms=nominal,
        jitter_buffer_maximum_ms=maximum,
        jitter_buffer_absolute_maximum_ms=most,
    )


def _unless_unavailable(value: int, most: int) -> int | None:
    """What is beyond the range means nothing, just as 127 does."""
    return value if value <= most else None
