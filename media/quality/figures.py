"""How the figures of a report are called and written: label, unit, digits, and which way is better.

A figure is known by its member's name in the report, which means the same wherever it stands. What is not in the
table is described by its name: the project puts units into names.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A member of the report for people.

    A value times `factor` is in `unit`. `better`: 1 where more is better, -1 where less is, 0 where neither.
    `notable`: differences below it, in `unit`, are not worth a colour. `note` explains it in a sentence.
    """

    label: str
    unit: str = ""
    factor: float = 1.0
    digits: int = 1
    better: int = 0
    notable: float = 0.0
    note: str = ""

    def text(self, value: float | None, signed: bool = False) -> str:
        """The value with its unit; a dash for what was not measured."""
        if value is None:
            return "–"
        number = round(value * self.factor, self.digits) + 0.0  # + 0.0: no "-0.0"
        # A grouped number is read at a glance; the narrow space is no thousands separator of any country.
        written = f"{number:{'+' if signed else ''},.{self.digits}f}".replace(",", "\u202f").replace("-", "−")
        return f"{written}\u00a0{self.unit}" if self.unit else written


def _ms(label: str, notable: float, note: str = "", digits: int = 0) -> Figure:
    return Figure(label, "ms", 1.0, digits, -1, notable, note)


def _percent(label: str, better: int, note: str = "", notable: float = 0.5) -> Figure:
    return Figure(label, "%", 1.0, 2, better, notable, note)


def _kbps(label: str, better: int = 0) -> Figure:
    return Figure(label, "kbit/s", 0.001, 1, better, 5.0)


def _dbfs(label: str) -> Figure:
    return Figure(label, "dBFS", 1.0, 1, 0, 3.0, "RMS; a full-scale square wave has 0.")


def _step(label: str) -> Figure:
    return Figure(label, "ms", 1000.0, 0, -1, 50.0, "After the call was asked for.")


_MODEL = "ITU-T G.107.2, from 1 to 4.5, with values fitted to PESQ-WB."
_THERE = "Told by the other end (RFC 3611), of the whole call."


def _heard_there(label: str) -> Figure:
    return Figure(f"{label}, there", "", 1.0, 1, 1, 0.1, f"{_MODEL} {_THERE}")


FIGURES: dict[str, Figure] = {
    # what was heard
    "mos_cq": Figure("MOS, conversation", "", 1.0, 2, 1, 0.1, f"{_MODEL} What was heard, and the delay."),
    "mos_lq": Figure(
        "MOS, listening",
        "",
        1.0,
        2,
        1,
        0.1,
        f"{_MODEL} What was heard: concealment, stretching, the codec's rate.",
    ),
    "concealed_percent": _percent("Concealed", -1, "Share of the sound that had to be made up."),
    "mouth_to_ear_median_ms": _ms(
        "Mouth to ear, measured", 10.0, "Median over windows of 1 s, from the recording."
    ),
    "mouth_to_ear_p95_ms": _ms("Mouth to ear, 95 %", 10.0, "95th percentile, from the recording."),
    "delay_ms": _ms("Mouth to ear, estimated", 10.0, "Half the round trip, jitter buffer, packet and codec."),
    "pesq_wb": Figure("PESQ-WB", "", 1.0, 2, 1, 0.1, "ITU-T P.862.2, recording against original."),
    "visqol": Figure("ViSQOL", "", 1.0, 2, 1, 0.1, "Speech mode, recording against original."),
    "matched_share": Figure("Speech found again", "%", 100.0, 0, 1, 2.0, "Windows found in the recording."),
    "windows": Figure("Windows compared", "", 1.0, 0),
    "burst_ratio": Figure("Burst ratio", "", 1.0, 2, -1, 0.2, "1: losses at random; more: in bursts."),
    "concealed_missing_percent": _percent("Concealed for packets", -1, "They were lost or late."),
    "concealed_empty_percent": _percent(
        "Concealed, buffer empty", -1, "Packets were held up, or a row of them lost."
    ),
    "concealed_broken_percent": _percent("Concealed, broken packets", -1, "The decoder refused them."),
    "stretched_percent": _percent(
        "Stretched", -1, "By how much the voice was stretched or shortened to follow the network."
    ),
    "level_dbfs": _dbfs("Loudness"),
    "heard_dbfs": _dbfs("Loudness, heard"),
    "said_dbfs": _dbfs("Loudness, said"),
    # network
    "lost_percent": _percent("Packets lost", -1, "Before repair."),
    "late_percent": _percent("Came too late", -1, "Arrived after their moment to be played."),
    "recovered_percent": _percent(
        "Recovered", 0, "Lost, and played from a copy in a later packet or from a retransmission."
    ),
    "packets": Figure("Packets received", "", 1.0, 0),
    "packets_sent": Figure("Packets sent", "", 1.0, 0),
    "packets_late": Figure("Packets too late", "", 1.0, 0, -1, 5.0),
    "packets_lost": Figure("Packets lost", "", 1.0, 0, -1, 5.0),
    "packets_recovered": Figure("Packets recovered", "", 1.0, 0),
    "jitter_ms": _ms("Jitter", 2.0, digits=1),
    "jitter_buffer_ms": _ms("Jitter buffer", 5.0, digits=1),
    "jitter_buffer_target_ms": _ms("Jitter buffer, target", 5.0, digits=1),
    "rtt_ms": _ms("Round trip", 5.0, digits=1),
    "bitrate_bps": _kbps("Bit rate"),
    "received_bps": _kbps("Received"),
    "sent_bps": _kbps("Sent"),
    "codec_bps": _kbps("Voice coded at", 1),
    "media_bps": _kbps("Sent, by the codec"),
    "redundant_bps": _kbps("Sent, copies"),
    "retransmitted_bps": _kbps("Sent again"),
    "rtcp_bps": _kbps("Sent, RTCP"),
    "wire_bps": _kbps("Sent in all, on the wire"),
    "target_bitrate_bps": _kbps("Target of the codec"),
    "remote_lost_percent": _percent("Lost, the other end says", -1),
    "remote_jitter_ms": _ms("Jitter, the other end says", 2.0, digits=1),
    "remote_mos_lq": _heard_there("MOS, listening"),
    "remote_mos_cq": _heard_there("MOS, conversation"),
    "remote_missing_percent": _percent("Packets missing there", -1, f"{_THERE} Lost for good, or too late."),
    "remote_late_percent": _percent(
        "Too late there", -1, f"{_THERE} Arrived after their moment to be played."
    ),
    "remote_jitter_buffer_ms": _ms("Jitter buffer there", 5.0, f"{_THERE} Its target.", digits=0),
    # set-up
    "asked": _step("Asked"),
    "ringing": _step("Ringing"),
    "preconnected": _step("Connected while ringing"),
    "accepted": _step("Accepted"),
    "session_initiate": _step("Offer"),
    "session_accept": _step("Answer"),
    "candidates_gathered": _step("Own addresses known"),
    "first_check": _step("First ICE check"),
    "dtls_begun": _step("DTLS begun"),
    "ice_connected": _step("ICE connected"),
    "srtp_keys": _step("Keys"),
    "dtls_connected": _step("DTLS connected"),
    "first_packet_sent": _step("First packet sent"),
    "first_packet_received": _step("First packet received"),
    "first_sound": _step("First sound"),
    "first_picture": _step("First picture"),
    # video
    "frames_per_second": Figure("Frames a second", "fps", 1.0, 1, 1, 1.0),
    "frames_received": Figure("Frames received", "", 1.0, 0, 1, 10.0),
    "frames_rendered": Figure("Frames shown", "", 1.0, 0, 1, 10.0),
    "frames_dropped": Figure("Frames dropped", "", 1.0, 0, -1, 5.0),
    "key_frames": Figure("Key frames", "", 1.0, 0),
    "width": Figure("Width", "px", 1.0, 0, 1, 1.0),
    "height": Figure("Height", "px", 1.0, 0, 1, 1.0),
    "freezes": Figure("Freezes", "", 1.0, 0, -1, 1.0, "A gap of max(3 x mean, mean + 150 ms) or more."),
    "frozen_seconds": Figure("Frozen", "s", 1.0, 1, -1, 0.1, "All freezes together."),
    "longest_freeze_ms": Figure("Longest freeze", "s", 0.001, 1, -1, 0.1),
    "longest_gap_ms": _ms("Longest gap", 50.0, "Between one picture and the next."),
    "encode_ms": _ms("Encoding a frame", 2.0, digits=1),
    "frame_delay_ms": _ms("Frame delay", 10.0),
    "av_offset_ms": Figure(
        "A/V offset", "ms", 1.0, 0, 0, 10.0, "Above 0: the sound is ahead of the picture."
    ),
    "av_offset_median_ms": Figure(
        "A/V offset, measured", "ms", 1.0, 0, 0, 10.0, "Median, by flash and beep."
    ),
    "av_offset_lowest_ms": Figure("A/V offset, lowest", "ms", 1.0, 0, 0, 10.0),
    "av_offset_highest_ms": Figure("A/V offset, highest", "ms", 1.0, 0, 0, 10.0),
    "pairs": Figure("Flashes with a beep", "", 1.0, 0),
    "nacks": Figure("NACKs", "", 1.0, 0),
    "plis": Figure("PLIs", "", 1.0, 0, -1, 2.0),
    "firs": Figure("FIRs", "", 1.0, 0, -1, 2.0),
    # video against the original (media/quality/video.py)
    "sent": Figure("Frames sent", "", 1.0, 0),
    "shown": Figure("Frames shown", "", 1.0, 0),
    "delivered": Figure("Frames delivered", "", 1.0, 0, 1, 5.0),
    "repeated": Figure("Frames repeated", "", 1.0, 0, -1, 5.0),
    "unreadable": Figure("Frames without a readable number", "", 1.0, 0, -1, 2.0),
    "delivered_share": Figure("Frames delivered", "%", 100.0, 1, 1, 1.0, "Of those that were sent."),
    "fps": Figure("Frames a second, measured", "fps", 1.0, 1, 1, 1.0, "Different pictures that were shown."),
    "psnr_db": Figure("PSNR", "dB", 1.0, 1, 1, 0.5, "Luma, mean of the frames."),
    "psnr_p5_db": Figure("PSNR, 5 %", "dB", 1.0, 1, 1, 1.0, "5th percentile of the frames."),
    "ssim": Figure("SSIM", "", 1.0, 3, 1, 0.01, "Luma, mean of the frames."),
    "delay_median_ms": _ms("Frame delay, measured", 10.0, "Median, by the number in the picture."),
    "delay_p95_ms": _ms("Frame delay, 95 %", 20.0, "95th percentile, by the number in the picture."),
    # the call
    "duration": Figure("Measured", "s", 1.0, 1),
    "time": Figure("Time", "s", 1.0, 1),
}

_SUFFIXES = {
    "_ms": ("ms", 1.0),
    "_bps": ("kbit/s", 0.001),
    "_percent": ("%", 1.0),
    "_db": ("dB", 1.0),
}


def describe(name: str) -> Figure:
    """The figure of this name; of a name that the table does not have, what can be read from it."""
    if name in FIGURES:
        return FIGURES[name]
    for suffix, (unit, factor) in _SUFFIXES.items():
        if name.endswith(suffix):
            return Figure(_words(name.removesuffix(suffix)), unit, factor, 2)
    return Figure(_words(name), "", 1.0, 2)


def _words(name: str) -> str:
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def clock(seconds: float) -> str:
    """A moment of the call: 0:15, 12:05, 1:02:03."""
    whole = max(0, int(seconds + 0.5))
    minutes, hours = whole // 60, whole // 3600
    return f"{hours}:{minutes % 60:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
