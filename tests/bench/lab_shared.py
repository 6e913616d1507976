"""Links that are shared, in the lab: two calls at once, or a call beside a TCP download; who gets what, and how late it is.

    python tests/bench/lab_shared.py --out results
    python tests/bench/lab_shared.py --cases two,wrtc,tcp --seed 1 --out results

Needs what the lab beside this checkout needs. 50 ms one way and 300 ms of queue, as its `lowbw`; the rate is that of the
case. Every call is `CASE-N` with a JSON beside it, as the lab writes them. `sent` is all that an end sends, IP and UDP
headers included, over its whole life; the download's is what its reader got.
"""

import argparse
import json
import sys
import threading
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from types import SimpleNamespace
from typing import Any

from lab_modules import use_lab
from rich.console import Console
from rich.table import Table

OURS, WRTC = "tests/bench/lab_endpoint.py", "wrtc"
HEADER_BYTES = 28  # IPv4 and UDP
PORT = 5001
# From B to A, with the kernel's congestion control, until its standard input ends; the reader says how much came.
WRITER = f"""
import socket, sys, threading
def serve():
    server = socket.create_server(("", {PORT}))
    print("ready", flush=True)
    peer, _ = server.accept()
    while True:
        peer.sendall(bytes(65536))
threading.Thread(target=serve, daemon=True).start()
sys.stdin.read()
"""
READER = f"""
import socket, sys, threading, time
total, begun = 0, time.monotonic()
def read():
    global total
    with socket.create_connection((sys.argv[1], {PORT})) as peer:
        while data := peer.recv(65536):
            total += len(data)
threading.Thread(target=read, daemon=True).start()
sys.stdin.read()
print(8 * total / (time.monotonic() - begun) / 1000)
"""


@dataclass(frozen=True, slots=True)
class Case:
    """`download`: beside the calls, from B to A."""

    rate: int  # kbit/s
    engines: tuple[str, ...]
    download: bool = False


CASES = {
    "two": Case(100, (OURS, OURS)),
    "two-wrtc": Case(100, (WRTC, WRTC)),
    "wrtc": Case(100, (OURS, WRTC)),
    "tcp": Case(300, (OURS,), download=True),
    "wrtc-tcp": Case(300, (WRTC,), download=True),
}


class Download(AbstractContextManager["Download"]):
    """A TCP connection over the link for as long as it is open; then `kbit_s` is what it got."""

    def __init__(self, lab: Any) -> None:
        self.kbit_s = 0.0
        self._writer = Popen([*lab.exec_b, sys.executable, "-c", WRITER], stdin=PIPE, stdout=PIPE, text=True)
        assert self._writer.stdout is not None
        self._writer.stdout.readline()
        self._reader = Popen(
            [*lab.exec_a, sys.executable, "-c", READER, lab.addr_b], stdin=PIPE, stdout=PIPE, text=True
        )

    def __exit__(self, *_: object) -> None:
        rate, _ = self._reader.communicate()
        self.kbit_s = float(rate)
        self._writer.communicate()


def measure(case: Case, seed: int, out: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """-> (one result a call, as the lab evaluates it; what else is known of the link)."""
    import call
    import netlab
    import voice

    spec = {"set": [f"both delay=50 rate={case.rate} qms=300"]}
    about: dict[str, Any] = {}
    with ExitStack() as stack:
        lab = stack.enter_context(netlab.Netlab(spec, seed=seed))
        lock = threading.Lock()

        def stats() -> Any:
            with lock:  # an answer has no name: two who ask at once could take each other's
                return lab.stats()

        shared = SimpleNamespace(exec_a=lab.exec_a, exec_b=lab.exec_b, cmd=lab.cmd, stats=stats)
        call.Netlab = lambda *_, **__: nullcontext(shared)
        folders = [out.with_name(f"{out.name}-{index}") for index in range(len(case.engines))]
        threads = [
            threading.Thread(target=voice.make, args=(engine, "lowbw", seed, folder))
            for engine, folder in zip(case.engines, folders, strict=True)
        ]
        download = stack.enter_context(Download(lab)) if case.download else None
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        final = stats()
        about["queue_max_ms"] = {way: final[way]["queue_max_ms"] for way in ("ab", "ba")}
    if download is not None:
        about["download_kbit_s"] = download.kbit_s
    return [voice.evaluate(folder) for folder in folders], about


def sent_kbit_s(result: dict[str, Any], end: str) -> float | None:
    """What that end of a call sent, by its own W3C statistics."""
    stats = result["stats"][end] or {}
    found = next((s for s in stats.values() if isinstance(s, dict) and s.get("type") == "transport"), None)
    if found is None or "packetsSent" not in found:
        return None
    return float(
        8 * (found["bytesSent"] + HEADER_BYTES * found["packetsSent"]) / (result["seconds"] + 4) / 1000
    )


def row(result: dict[str, Any]) -> list[str]:
    sent = [sent_kbit_s(result, end) for end in "ab"]
    figures: list[str] = ["/".join("-" if rate is None else f"{rate:.0f}" for rate in sent)]
    for key, digits in (("pesq_wb", 2), ("delay_median_ms", 0), ("delay_p95_ms", 0), ("holes_pct", 1)):
        values = [result[way].get(key) for way in ("ab", "ba")]
        figures.append("/".join("-" if value is None else f"{value:.{digits}f}" for value in values))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", default=",".join(CASES), help="by comma (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    names = args.cases.split(",")
    if unknown := [name for name in names if name not in CASES]:
        parser.error(f"no case {', '.join(unknown)}; there are: {', '.join(CASES)}")
    use_lab()
    table = Table(
        "case", "kbit/s", "call", "sent", "PESQ-WB", "median ms", "p95 ms", "holes %", "queue max ms"
    )
    for name in names:
        path = args.out.resolve() / f"{name}.json"
        if not path.exists():
            results, about = measure(CASES[name], args.seed, path.with_suffix(""))
            path.write_text(json.dumps({"calls": results, **about}, indent=1, default=float))
        known = json.loads(path.read_text())
        queue = "/".join(f"{known['queue_max_ms'][way]:.0f}" for way in ("ab", "ba"))
        for result in known["calls"]:
            table.add_row(name, str(CASES[name].rate), result["engine"], *row(result), queue)
        if "download_kbit_s" in known:
            table.add_row(name, "", "TCP, b to a", f"{known['download_kbit_s']:.0f}")
    Console(width=120).print("Figures are of a to b / b to a.", table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
