"""Many calls at once through the signaling server: how they were set up, how they sounded, what they cost, what breaks.

    python samples/load_test.py --steps 1,5,10 --processes 2 --seconds 20
    python samples/load_test.py --server https://calls.example --people profiles --steps 10

Calls are real ones, with the client and the engine of place_call.py, real speech both ways and playout in time; caller
and callee of a call are in different processes. Each step places its calls anew. Without --server a signaling server
is started for the test. Every call is accounted for. Writes load.json and load.md into --out.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from _checkout import EXIT_FAILED, EXIT_INTERRUPTED
from _load_figures import Bounds, Step, knee, summarize
from _load_processes import START_TIMEOUT, LoadError, Meter, Workers, media_processes, signaling_server
from _load_table import render_markdown, render_table
from _speech import real_speech

from media import MediaError, load_speech
from media.arguments import ip_address, quantity, seconds, whole_number

# 555-0100 to 555-0199 are reserved for fiction in every area code.
AREAS = (202, 212, 213, 305, 312, 415, 503, 617, 702, 713)
SIGN_IN_TIMEOUT = 60.0
# Ringing, session-initiate, session-accept and ICE have timers of their own, 80 s together.
# An end whose peer's process died notices it within 30 s.
# Where the machine is overloaded all of this takes longer, the more so the more calls there are: a second for each.
CALL_TIMEOUT, END_TIMEOUT = 100.0, 40.0
ENDS = ("caller", "callee")
SETTLE = 2.0  # seconds between the last call's connection and the time that counts


def number(index: int) -> str:
    return f"+1{AREAS[index // 100]}5550{100 + index % 100}"


async def run_step(calls: int, workers: Workers, meter: Meter, options: argparse.Namespace) -> Step:
    """Sign in who is not there yet, place the calls, let them talk, hang up. Cancelled, it hangs up at once."""
    step = Step(calls, [(number(2 * i), number(2 * i + 1)) for i in range(calls)])
    workers.records[:] = workers.said("online")
    workers.step += 1
    try:
        await sign_in(step, workers)
        placed = place(step, workers, options.rate)

        def settled() -> bool:
            return len(workers.said("up", "failed")) >= placed

        await workers.until(settled, calls / options.rate + CALL_TIMEOUT + calls)
        print(f"  {len(workers.said('up'))} of {placed} placed are up", flush=True)
        await asyncio.sleep(SETTLE)
        workers.tell_all(do="begin")
        meter.begin()
        await asyncio.sleep(options.seconds)
        step.cost = meter.end()
    except asyncio.CancelledError:
        step.cut_short = True
    await hang_up(step, workers)
    step.records = list(workers.records)
    step.died = dict(workers.gone)
    return step


async def sign_in(step: Step, workers: Workers) -> None:
    """All who are not there yet."""
    count = len(workers.processes)
    there = {record["number"] for record in workers.said("online")}
    for which in range(count):
        new: dict[str, list[str]] = {end: [] for end in ENDS}
        for i, pair in enumerate(step.people):
            for end, person in zip(ENDS, pair, strict=True):
                if _process(i, end, count) == which and person not in there:
                    new[end].append(person)
        workers.tell(which, do="sign_in", callers=new["caller"], callees=new["callee"])
    wanted = {n for pair in step.people for n in pair}
    timeout = SIGN_IN_TIMEOUT + len(wanted)
    await workers.until(lambda: wanted <= {r["number"] for r in workers.said("online", "offline")}, timeout)
    reasons = {r["number"]: r["reason"] for r in workers.said("offline")}
    online = {r["number"] for r in workers.said("online")}
    step.offline = {n: reasons.get(n, "not in time") for n in wanted - online}


def place(step: Step, workers: Workers, rate: float) -> int:
    """Tell the processes to place the calls whose people are there; how many these are."""
    count = len(workers.processes)
    placing = [(i, pair) for i, pair in enumerate(step.people) if not step.offline.keys() & set(pair)]
    for which in range(count):
        workers.tell(
            which,
            do="place",
            step=workers.step,
            calls=[(*pair, i / rate) for i, pair in placing if _process(i, ENDS[0], count) == which],
        )
    return len(placing)


async def hang_up(step: Step, workers: Workers) -> None:
    """End the calls, and wait for what the processes that live say of them."""
    workers.tell_all(do="hang_up")
    count = len(workers.processes)
    place = {caller: i for i, (caller, _) in enumerate(step.people)}

    def over() -> bool:
        ended = {(r["caller"], r["end"]) for r in workers.said("ended")}
        up = [(r["caller"], end) for r in workers.said("up") for end in ENDS]
        return all(each in ended or _process(place[each[0]], each[1], count) in workers.gone for each in up)

    await workers.until(over, END_TIMEOUT + step.calls, all_alive=False)


def _process(call: int, end: str, count: int) -> int:
    """In which process an end of a call is: caller and callee in different ones."""
    return (call + ENDS.index(end)) % count


async def test(options: argparse.Namespace, folder: Path, log: Any) -> list[dict[str, Any]]:
    """All steps, the figures of each; Ctrl-C ends the running one and is the last."""
    bounds = Bounds(options.min_mos, options.max_late_ms)
    done: list[dict[str, Any]] = []
    async with contextlib.AsyncExitStack() as stack:
        url, server = options.server, None
        if url is None:
            url, server = await stack.enter_async_context(signaling_server(folder, log))
        workers = await stack.enter_async_context(media_processes(options, url, folder, log))
        if not await workers.until(lambda: len(workers.said("ready")) == options.processes, START_TIMEOUT):
            raise LoadError("a media process ended at its start; see the log")
        meter = Meter([process.pid for process in workers.processes], server)
        for calls in options.steps:
            print(f"{calls} calls ...", flush=True)
            step = await run_step(calls, workers, meter, options)
            figures = summarize(step, bounds)
            done.append(figures)
            print(accounts(figures), flush=True)
            if workers.gone:
                break  # its people are gone
            if step.cut_short:
                break
        if workers.late:
            print(f"{workers.late} records came after the end of their step", flush=True)
    return done


def accounts(figures: dict[str, Any]) -> str:
    """The sum, and what became of the calls that did not live."""
    parts = [
        f"{figures[name]} {name.replace('_', ' ')}" for name in ("kept_up", "lost", "failed", "unaccounted")
    ]
    total = sum(figures[name] for name in ("kept_up", "lost", "failed", "unaccounted"))
    verdict = "as placed" if total == figures["placed"] else f"BUT {figures['placed']} were placed"
    lines = [f"  {' + '.join(parts)} = {total}, {verdict}; {figures['callees_reported']} callees reported"]
    lines += [f"  {count} x {reason}" for reason, count in figures["reasons"].items()]
    return "\n".join(lines)


def verdict(steps: list[dict[str, Any]]) -> str:
    """The knee, what broke first, and where."""
    best = knee(steps)
    text = f"All bounds were met up to {best} calls at once." if best else "No step met all bounds."
    first = next((step for step in steps if step["broken"]), None)
    if first is None:
        return text + " Nothing broke."
    return f"{text} At {first['calls']}: {'; '.join(first['broken'])}. Where: {first['where']}."


def _steps(text: str) -> list[int]:
    steps = [int(part) for part in text.split(",")]
    if not steps or min(steps) < 1 or max(steps) > 50 * len(AREAS):
        raise ValueError
    return steps


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--steps", type=_steps, default=[1, 5, 10], metavar="N,N,...", help="calls at once (default 1,5,10)")
    add(
        "--processes",
        type=whole_number(1, 256),
        default=os.cpu_count() or 1,
        metavar="K",
        help="with media (default: one a core)",
    )
    add(
        "--seconds",
        type=seconds(0.1, 86400),
        default=20.0,
        help="how long all calls of a step talk (default 20)",
    )
    add("--rate", type=quantity(0.001, 10_000), default=5.0, help="calls placed in a second (default 5)")
    add("--server", metavar="URL", help="a running server, instead of one of the test's own")
    add(
        "--sms-file",
        type=Path,
        metavar="FILE",
        help="with --server: where it writes the codes (--sms file:FILE)",
    )
    add("--people", type=Path, metavar="DIR", help="profiles are kept there, and taken from there")
    add(
        "--speech",
        type=Path,
        metavar="FILE",
        help="what all say (default: fetched speech, or a generated voice)",
    )
    add("--generated", action="store_true", help="do not look for real speech")
    add(
        "--cache", type=Path, default=Path("build/speech"), metavar="DIR", help="where fetched speech is kept"
    )
    add(
        "--address",
        type=ip_address,
        action="append",
        metavar="IP",
        help="use only this local address (may be repeated)",
    )
    add(
        "--min-mos",
        type=quantity(1, 5),
        default=4.0,
        help="bound on the MOS, p5 (default 4.0)",
    )
    add(
        "--max-late-ms",
        type=quantity(0, 10_000),
        default=20.0,
        help="bound on the lateness of playout, p99 (default 20)",
    )
    add("--out", type=Path, default=Path("build/load"), metavar="DIR", help="default build/load")
    options = parser.parse_args()
    if options.server and not (options.sms_file or options.people):
        parser.error("--server wants --people (profiles), or --sms-file to register some")
    return options


async def until_told(options: argparse.Namespace, folder: Path, log: Any) -> list[dict[str, Any]]:
    task = asyncio.ensure_future(test(options, folder, log))
    for told in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(told, task.cancel)
    return await task


def write(options: argparse.Namespace, steps: list[dict[str, Any]]) -> None:
    about = {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "processes": options.processes,
        "seconds": options.seconds,
        "rate": options.rate,
        "bounds": {"mos_p5": options.min_mos, "late_p99_ms": options.max_late_ms},
    }
    content = {"about": about, "steps": steps, "knee": knee(steps), "verdict": verdict(steps)}
    (options.out / "load.json").write_text(json.dumps(content, indent=1) + "\n")
    (options.out / "load.md").write_text(render_markdown(steps) + f"\n{verdict(steps)}\n")


def main() -> int:
    options = parse_arguments()
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        if options.people:
            options.people.mkdir(parents=True, exist_ok=True)
        if options.speech:
            load_speech(options.speech, 1.0)  # a file that cannot be read is told now
        elif not options.generated:
            options.speech = next(iter(real_speech(options.cache)), None)
        print(f"speech: {options.speech or 'a generated voice'}", flush=True)
        with (
            tempfile.TemporaryDirectory(prefix="ringline-load-") as folder,
            (options.out / "load.log").open("wb") as log,
        ):
            steps = asyncio.run(until_told(options, Path(folder), log))
    except (LoadError, MediaError, OSError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except (asyncio.CancelledError, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    print(render_table(steps), end="")
    print(verdict(steps))
    write(options, steps)
    print(f"wrote {options.out}/load.json, load.md and load.log")
    if any(step["cut_short"] for step in steps):
        return EXIT_INTERRUPTED
    return EXIT_FAILED if any(step["unaccounted"] for step in steps) else 0


if __name__ == "__main__":
    sys.exit(main())
