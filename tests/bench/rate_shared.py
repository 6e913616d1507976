"""Rates and queues over time, packet by packet and without sound: thin links, and links that are shared."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from voice_svg import Panel, Series, figure

from media.simulation.link import Link, LinkParameters, Schedule, Step
from media.simulation.shared_link import ConstantFlow, Download, VoiceFlow, run

SECONDS, JOINS, SETTLED = 60.0, 10.0, 20.0  # the second flow joins; figures are from then on
DELAY_MS, QUEUE_MS = 50.0, 300.0
BACK = DELAY_MS / 1000
OURS, OTHER, LIBWEBRTC, DOWNLOAD = "ours", "second of ours", "libwebrtc's voice", "download"
STEPS = Schedule((Step(10.0, {"rate_bps": 32_000.0}), Step(30.0, {"rate_bps": 100_000.0})))


@dataclass(frozen=True, slots=True)
class Flow:
    """Of one flow on one link: seconds -> kbit/s, seconds -> ms in the queue; sorted waits from SETTLED on, ms."""

    rates: tuple[tuple[float, float], ...]
    waits: tuple[tuple[float, float], ...]
    settled: tuple[float, ...]
    kbit_s: float


def _late(flow: VoiceFlow) -> VoiceFlow:
    flow.next_frame += JOINS
    flow.next_rtcp += JOINS
    flow.next_report += JOINS
    return flow


Make = Callable[[int], list[VoiceFlow | Download]]
ALONE: Make = lambda seed: [VoiceFlow(1, Random(seed), BACK)]  # noqa: E731
SHARED: dict[str, tuple[float, Make]] = {
    "100 kbit/s, two of ours": (
        100_000,
        lambda seed: [VoiceFlow(1, Random(seed), BACK), _late(VoiceFlow(2, Random(seed + 100), BACK))],
    ),
    "100 kbit/s, beside libwebrtc's voice": (
        100_000,
        lambda seed: [VoiceFlow(1, Random(seed), BACK), _late(ConstantFlow(3, Random(seed + 100), BACK))],
    ),
    "1 Mbit/s, beside a Reno download": (
        1_000_000,
        lambda seed: [VoiceFlow(1, Random(seed), BACK), Download(4, BACK, JOINS)],
    ),
}
NAMES = {1: OURS, 2: OTHER, 3: LIBWEBRTC, 4: DOWNLOAD}


def flows_on(seed: int, make: Make, parameters: LinkParameters, schedule: Schedule) -> dict[str, Flow]:
    link, flows = Link(parameters, Random(seed), schedule, 0.0), make(seed)
    run(flows, link, SECONDS)
    return {NAMES[flow.tag]: _figures(flow) for flow in flows}


def _figures(flow: VoiceFlow | Download) -> Flow:
    if isinstance(flow, Download):
        kbit_s = 8 * flow.bytes / (SECONDS - JOINS) / 1000
        return Flow(((JOINS, kbit_s), (SECONDS, kbit_s)), (), (), kbit_s)
    waits = [(at, 1000 * delay - DELAY_MS) for at, delay in flow.delays]
    seconds = range(round(SECONDS))
    return Flow(
        tuple((s + 0.5, flow.sent_bps(s, s + 1) / 1000) for s in seconds),
        tuple((s + 0.5, max(found)) for s in seconds if (found := [w for at, w in waits if s <= at < s + 1])),
        tuple(sorted(wait for at, wait in waits if at >= SETTLED)),
        flow.sent_bps(SETTLED, SECONDS) / 1000,
    )


def networks() -> dict[str, tuple[Make, LinkParameters, Schedule]]:
    """What is drawn and counted."""

    def link(rate_bps: float, loss: float = 0.0) -> LinkParameters:
        return LinkParameters(delay_ms=DELAY_MS, queue_ms=QUEUE_MS, rate_bps=rate_bps, loss=loss)

    alone = {f"{k} kbit/s": (ALONE, link(k * 1000), Schedule()) for k in (24, 32, 48, 64)}
    alone["64 kbit/s, 5 % loss"] = ALONE, link(64_000, 0.05), Schedule()
    alone["100, 32, 100 kbit/s"] = ALONE, link(100_000), STEPS
    return alone | {name: (make, link(rate), Schedule()) for name, (rate, make) in SHARED.items()}


def table_and_figures(seeds: range) -> tuple[str, str, str]:
    """(Markdown table over all seeds, SVG of the rates and of the queues with the first seed)."""
    lines = [
        "| link | flow | sent kbit/s | of what all send % | waiting and sending median ms | p95 ms | p99 ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    rates, queues = [], []
    for name, network in networks().items():
        runs = [flows_on(seed, *network) for seed in seeds]
        for label in runs[0]:
            sent = sum(r[label].kbit_s for r in runs) / len(runs)
            share = 100 * sent * len(runs) / sum(flow.kbit_s for r in runs for flow in r.values())
            waits = sorted(wait for r in runs for wait in r[label].settled)
            percentiles = [
                f"{waits[int(q * (len(waits) - 1))]:.0f}" if waits else "" for q in (0.5, 0.95, 0.99)
            ]
            lines.append(f"| {name} | {label} | {sent:.0f} | {share:.0f} | {' | '.join(percentiles)} |")
        voices = {label: flow for label, flow in runs[0].items() if label != DOWNLOAD}
        rates.append(
            Panel(name, "s", "kbit/s", tuple(Series(k, f.rates) for k, f in voices.items()), (0.0, 120.0))
        )
        queues.append(
            Panel(
                name,
                "s",
                "longest, ms",
                tuple(Series(k, f.waits) for k, f in voices.items()),
                (0.0, 350.0),
            )
        )
    return "\n".join(lines), figure(rates, columns=3), figure(queues, columns=3)
