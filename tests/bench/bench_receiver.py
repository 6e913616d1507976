"""What a receiver costs the processor: all its work for 10 ms of sound, per kind of network and of frame.

    python tests/bench/bench_receiver.py --networks clean,loss10 --seconds 60

Measured, in processor time, are the packets of each 10 ms (parsed, RED opened, inserted), the pull (decoding, concealing, stretching) and
the feedback that is due. Encryption is not in it. Beside it in the same run: the bare decoder over the same frames, so
that the ratio holds on any machine. The sender protects as in a call, by the arrivals that the receiver tells it.
"""

import argparse
import time
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from rich.console import Console
from rich.table import Table

from media.codecs.audio import create_decoder, create_encoder
from media.parameters import AudioParameters
from media.rtp import congestion_feedback
from media.rtp.congestion_feedback import CCFB_FORMAT
from media.rtp.feedback import NACK_FORMAT, nacked
from media.rtp.packet import RtpPacket
from media.rtp.rtcp import Feedback
from media.simulation.profiles import get_profile
from media.simulation.voice import generate_voice
from media.streams.audio_receiver import AudioReceiver
from media.streams.audio_sender import AudioSender

OPUS = AudioParameters(
    "0", 111, frozenset({111}), red_payload_type=63, rtx_payload_type=112, arrival_feedback=True, nack=True
)
FRAMES = {
    "opus": OPUS,
    "opus 10 ms": replace(OPUS, packet_ms=10),
    "opus 60 ms": replace(OPUS, packet_ms=60),
    "opus DTX": replace(OPUS, use_dtx=True),
    "PCMU": AudioParameters("0", 0, frozenset({0}), codec="PCMU"),
    "G722": AudioParameters("0", 9, frozenset({9}), codec="G722"),
}
NETWORKS = ("clean", "loss5", "loss10", "loss20", "burst", "rtt300", "jitter", "jitter_reorder", "spike")
TICK = 480


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds: of the receiver's ticks, and of the bare decoder for 10 ms."""

    ticks: np.ndarray
    decoder: float


def measure(network: str, parameters: AudioParameters, seconds: float, seed: int) -> Cost:
    sound = np.resize(generate_voice(seed, min(seconds, 20.0)), round(seconds * 48000))
    rng = Random(seed)
    sender = AudioSender(create_encoder(parameters), parameters, ssrc=1, rtx_ssrc=2, rng=rng)
    receiver = AudioReceiver(create_decoder(parameters.codec), parameters, ssrc=3)
    there, back = get_profile(network).links(seed, start=0.0)
    receiver.set_round_trip_time(2 * there.parameters.delay_ms / 1000)
    payloads: list[bytes] = []
    ticks = np.zeros(len(sound) // TICK)
    reports: list[tuple[float, Feedback]] = []
    travel = back.parameters.delay_ms / 1000
    for index in range(len(ticks)):
        now = (index + 1) * 0.01
        if index % 2:
            for data in sender.push(sound[(index - 1) * TICK : (index + 1) * TICK], now - 0.02):
                payloads.append(sender._frames[-1][1])
                there.send(data, now)
        while reports and reports[0][0] <= now:
            for data in _take(sender, reports.pop(0)[1], now):
                there.send(data, now)
        arrived = there.receive(now)
        begin = time.thread_time_ns()
        for at, data in arrived:
            receiver.receive(RtpPacket.parse(data), at)
        receiver.pull(now)
        feedback = receiver.feedback_to_send(now)
        ticks[index] = (time.thread_time_ns() - begin) / 1000
        reports += [(now + travel, each) for each in feedback]
    cost = Cost(ticks[100:], _bare(parameters, payloads))
    sender.close()
    receiver.close()
    return cost


def _take(sender: AudioSender, feedback: Feedback, now: float) -> list[bytes]:
    """The sender's answer to a message: packets to send again."""
    if feedback.format == CCFB_FORMAT:
        for report in congestion_feedback.parse(feedback):
            sender.receive_arrivals(report, now)
    elif feedback.format == NACK_FORMAT:
        return sender.receive_nack(nacked(feedback), now)
    return []


def _bare(parameters: AudioParameters, payloads: list[bytes]) -> float:
    """Microseconds that the decoder alone takes for 10 ms of sound."""
    decoder, samples = create_decoder(parameters.codec), 0
    begin = time.thread_time_ns()
    for payload in payloads:
        samples += len(decoder.decode(payload))
    spent = (time.thread_time_ns() - begin) / 1000
    decoder.close()
    return spent / (samples / TICK)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default=",".join(NETWORKS), help="by comma")
    parser.add_argument("--seconds", type=float, default=30.0, help="of sound a row")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rows = [(network, "opus") for network in arguments.networks.split(",")]
    rows += [("clean", kind) for kind in FRAMES if kind != "opus"]
    table = Table(
        title=f"A receiver's work for 10 ms of sound, µs of one core ({arguments.seconds:.0f} s a row)"
    )
    for column in (
        "network",
        "frames",
        "mean",
        "p50",
        "p99",
        "max",
        "decoder alone",
        "mean / decoder",
        "% of a core",
    ):
        table.add_column(column, justify="left" if column in ("network", "frames") else "right")
    for network, kind in rows:
        cost = measure(network, FRAMES[kind], arguments.seconds, arguments.seed)
        mean = float(cost.ticks.mean())
        figures = (mean, *np.percentile(cost.ticks, (50, 99, 100)), cost.decoder)
        table.add_row(
            network, kind, *(f"{f:.0f}" for f in figures), f"{mean / cost.decoder:.1f}", f"{mean / 100:.1f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
