"""One direction of a call, in virtual time."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from media.codecs.audio import create_decoder, create_encoder
from media.parameters import AudioParameters
from media.rtp.packet import RtpPacket
from media.streams.audio_receiver import AudioReceiver
from media.streams.audio_sender import AudioSender

Samples = NDArray[np.int16]
OPUS = AudioParameters("0", 111, frozenset({111}), nack=True, rtx_payload_type=112)
# What becomes of a packet that is sent at a time: when the copies of it arrive.
Network = Callable[[RtpPacket, float], list[tuple[float, RtpPacket]]]


def straight(packet: RtpPacket, at: float) -> list[tuple[float, RtpPacket]]:
    return [(at + 0.02, packet)]


class Line:
    """One direction of a call."""

    def __init__(self, parameters: AudioParameters = OPUS) -> None:
        self.parameters = parameters
        self.sender = self.another_sender(7)
        self.receiver = AudioReceiver(create_decoder(parameters.codec), parameters, ssrc=1)
        self.receiver.set_round_trip_time(0.04)
        self.now = 100.0
        self.arrivals: list[tuple[float, int, RtpPacket]] = []
        self.sent = self.asked = 0
        self.delays: list[float] = []
        self.targets: list[float] = []

    def another_sender(self, ssrc: int) -> AudioSender:
        parameters = self.parameters
        return AudioSender(create_encoder(parameters), parameters, ssrc=ssrc, rtx_ssrc=8, rng=Random(ssrc))

    def run(self, sound: Samples, network: Network = straight) -> Samples:
        """What is heard while `sound` is said."""
        heard = []
        for tick in range(len(sound) // 480):
            self.now += 0.01
            if tick % 2:
                for data in self.sender.push(sound[(tick - 1) * 480 : (tick + 1) * 480], self.now - 0.02):
                    self.sent += 1
                    for at, packet in network(RtpPacket.parse(data), self.now):
                        self.arrivals.append((at, len(self.arrivals), packet))
            self.arrivals.sort(key=lambda arrival: arrival[:2])
            while self.arrivals and self.arrivals[0][0] <= self.now:
                at, _, packet = self.arrivals.pop(0)
                self.receiver.receive(packet, at)
            for feedback in self.receiver.feedback_to_send(self.now):
                self.asked += len(feedback.fci) // 4
            heard.append(self.receiver.pull(self.now).copy())
            self.delays.append(self.receiver.jitter_buffer._playout_delay(self.now))
            self.targets.append(self.receiver.jitter_buffer.target_delay)
        return np.concatenate(heard)

    @property
    def counters(self) -> Any:
        return self.receiver.jitter_buffer.counters

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()


@pytest.fixture
def make_line() -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def make(parameters: AudioParameters = OPUS) -> Line:
        lines.append(Line(parameters))
        return lines[-1]

    yield make
    for line in lines:
        line.close()
