"""What the engines of a call cost the processor: both ends, in virtual time, without sockets, threads and a loop.

    python tests/bench/bench_engine.py --networks clean,loss10 --seconds 30

Processor time of each part for 20 ms of sound in one direction, and of bare Opus (an encoder and a decoder over the
same frames) beside it in the same run. `cores` is that of a whole call: both directions. SRTP is in it.
"""

import argparse
import time
from collections import Counter
from random import Random

import numpy as np
from rich.console import Console
from rich.table import Table

from media.codecs.opus import OpusDecoder, OpusEncoder
from media.engine import MediaEngine
from media.simulation.call import AUDIO
from media.simulation.profiles import get_profile
from media.simulation.voice import generate_voice
from media.transport.srtp import PROFILES, SrtpKeys

FRAME, TICK = 960, 480
PARTS = ("push", "send", "receive", "pull", "timer")


def measure(network: str, seconds: float, seed: int) -> tuple[dict[str, float], float]:
    """(microseconds for 20 ms of one direction by part, the same of bare Opus)."""
    profile, rng = PROFILES[0], Random(seed)
    half = profile.key_length + profile.salt_length
    keys = SrtpKeys(profile, rng.randbytes(half), rng.randbytes(half))
    engines = [MediaEngine(rng=Random(rng.getrandbits(64)), unix_time_offset=1.7e9) for _ in range(2)]
    for engine, own in zip(engines, (keys, keys.swapped()), strict=True):
        engine.configure_audio(AUDIO)
        engine.set_keys(own, 0.0)
    links = get_profile(network).links(seed, start=0.0)
    count = round(seconds * 50)
    voices = [np.resize(generate_voice(seed + i, min(seconds, 20.0)), count * FRAME) for i in range(2)]
    spent: Counter[str] = Counter()
    clock = time.thread_time_ns

    for tick in range(2 * count):
        now = (tick + 1) * 0.01
        for index, engine in enumerate(engines):
            arrived = links[1 - index].receive(now)
            begin = clock()
            for at, data in arrived:
                engine.receive_packet(data, at)
            received = clock()
            if (due := engine.get_timer()) is not None and due <= now:
                engine.handle_timer(now)
            timed = clock()
            engine.pull_audio(now)
            pulled = clock()
            if tick % 2:
                engine.push_audio(voices[index][(tick // 2) * FRAME : (tick // 2 + 1) * FRAME], now)
            pushed = clock()
            packets = engine.packets_to_send(now)
            sent = clock()
            times = (pushed - pulled, sent - pushed, received - begin, pulled - timed, timed - received)
            spent.update(dict(zip(PARTS, times, strict=True)))
            for data in packets:
                links[index].send(data, now)
    for engine in engines:
        engine.close(seconds)
    return {part: spent[part] / 1000 / (2 * count) for part in PARTS}, _bare(voices[0])


def _bare(voice: np.ndarray) -> float:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    begin = time.thread_time_ns()
    for start in range(0, len(voice) - FRAME + 1, FRAME):
        decoder.decode(encoder.encode(voice[start : start + FRAME]))
    spent = time.thread_time_ns() - begin
    encoder.close()
    decoder.close()
    return spent / 1000 / (len(voice) // FRAME)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default="clean,loss10", help="by comma")
    parser.add_argument("--seconds", type=float, default=30.0, help="of sound a row")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    table = Table(title="Both engines of a call: µs for 20 ms of sound in one direction")
    for column in ("network", *PARTS, "all", "Opus alone", "cores a call", "Opus alone"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for network in arguments.networks.split(","):
        parts, opus = measure(network, arguments.seconds, arguments.seed)
        total = sum(parts.values())
        figures = (*parts.values(), total, opus)
        table.add_row(network, *(f"{f:.0f}" for f in figures), f"{total * 1e-4:.4f}", f"{opus * 1e-4:.4f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
