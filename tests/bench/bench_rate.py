"""Voice on thin, stepping and lossy thin links in virtual time: what is sent, how late it is, how it sounds.

    python tests/bench/bench_rate.py --seeds 1-3 --seconds 30      as `make bench-rate`
    python tests/bench/bench_rate.py --plots docs/voice            and draws rates and queues over time

A second table has links that are shared, packet by packet and without sound.
"""

import argparse
import sys
from pathlib import Path
from statistics import mean

from rate_shared import table_and_figures
from voice_trial import HEADER_BYTES, LEAD_IN, SPEAKERS, speech

from media.simulation.call import simulate
from media.simulation.link import LinkParameters, Schedule, Step
from media.simulation.profiles import Direction, Profile, get_profile

NETWORKS = ("24", "32", "48", "64", "100", "100, 32, 100", "64, 5 % loss")


def network(name: str) -> Profile:
    """50 ms one way and 300 ms of queue, at so many kbit/s."""
    line = f"delay=50 qms=300 rate={name.split(',')[0]}"
    if "loss" in name:
        return get_profile(f"{line} loss=0.05")
    if name.count(",") != 2:
        return get_profile(line)
    rates = [float(rate) * 1000 for rate in name.split(",")]
    parameters = LinkParameters(delay_ms=50, queue_ms=300, rate_bps=rates[0])
    steps = tuple(Step(10.0 + 12 * index, {"rate_bps": rate}) for index, rate in enumerate(rates[1:]))
    direction = Direction(parameters, Schedule(steps))
    return Profile(name, "as given", direction, direction)


def row(name: str, seeds: range, seconds: float) -> str:
    figures: list[tuple[float, ...]] = []
    for seed in seeds:
        pair = seed % len(SPEAKERS), (seed + 1) % len(SPEAKERS)
        voices = (speech(pair[0], seconds), speech(pair[1], seconds))
        call = simulate(network(name), seed, voices, seconds=seconds + LEAD_IN)
        for report, stats in zip((call.callee, call.caller), call.stats, strict=True):
            heard, sent = report.speech, stats["transport"]
            assert heard is not None
            wire = 8 * (sent["bytesSent"] + HEADER_BYTES * sent["packetsSent"]) / (seconds + LEAD_IN) / 1000
            delays = heard.mouth_to_ear_median_ms or 0.0, heard.mouth_to_ear_p95_ms or 0.0
            concealed = report.summary.concealed_percent or 0.0
            figures.append((heard.pesq_wb or 0.0, *delays, concealed, wire))
    pesq, median, p95, concealed, wire = (mean(column) for column in zip(*figures, strict=True))
    return f"| {name} | {pesq:.2f} | {median:.0f} | {p95:.0f} | {concealed:.2f} | {wire:.0f} |"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="1-3", help="such as 1-3")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--plots", type=Path, help="folder for rate.svg and rate-queue.svg")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    print("| kbit/s | PESQ-WB | mouth-to-ear median ms | p95 ms | concealed % | sent kbit/s |")
    print("| --- | --- | --- | --- | --- | --- |")
    seeds = range(int(first), int(last or first) + 1)
    for name in NETWORKS:
        print(row(name, seeds, options.seconds), flush=True)
    table, rates, queues = table_and_figures(seeds)
    print(f"\n{table}")
    if options.plots is not None:
        options.plots.mkdir(parents=True, exist_ok=True)
        (options.plots / "rate.svg").write_text(rates)
        (options.plots / "rate-queue.svg").write_text(queues)
    return 0


if __name__ == "__main__":
    sys.exit(main())
