"""Thin and stepping links in the lab: calls between two processes over links that its list of profiles does not have.

    python tests/bench/lab_links.py --engines wrtc,tests/bench/lab_endpoint.py --links 64,64l5,step --seeds 1 --out results

Needs what the lab beside this checkout needs. 50 ms one way and 300 ms of queue each, as its `lowbw`. Each call is
`voice-ENGINE-LINK-SEED` with a JSON beside it, as the lab writes them; the table is means over seeds and directions.
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

from lab_modules import use_lab
from rich.console import Console
from rich.table import Table
from voice_statistics import estimate

LINKS: dict[str, dict[str, Any]] = {
    **{str(rate): {"set": [f"both delay=50 rate={rate} qms=300"]} for rate in (24, 32, 48, 64, 100)},
    "64l5": {"set": ["both delay=50 rate=64 qms=300 loss=0.05"]},
    "step": {
        "set": ["both delay=50 rate=100 qms=300"],
        "sched": [(0.0, "both rate=100"), (20.0, "both rate=32"), (40.0, "both rate=100")],
    },
}
COLUMNS = (
    ("PESQ-WB", "pesq_wb", 2),
    ("ViSQOL", "visqol", 2),
    ("median ms", "delay_median_ms", 0),
    ("p95 ms", "delay_p95_ms", 0),
    ("holes %", "holes_pct", 2),
    ("sent kbit/s", "sent_kbit_s", 0),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engines", default="wrtc,tests/bench/lab_endpoint.py")
    parser.add_argument("--links", default="64,64l5,step", help=f"of {', '.join(LINKS)} (%(default)s)")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    links = args.links.split(",")
    if unknown := [link for link in links if link not in LINKS]:
        parser.error(f"no link {', '.join(unknown)}; there are: {', '.join(LINKS)}")
    use_lab()
    import netlab
    import voice
    import where

    netlab.PROFILES.update(LINKS)
    engines = args.engines.split(",")
    summaries: dict[tuple[str, str], list[dict[str, float]]] = {}
    for link, engine, seed in product(links, engines, args.seeds.split(",")):
        name = f"voice-{where.label(engine)}-{link}-{seed}"
        out = args.out.resolve() / name
        result = out.with_name(f"{name}.json")
        if not result.exists():
            if not (out / "call.json").exists():
                voice.make(engine, link, int(seed), out)
            result.write_text(json.dumps(voice.evaluate(out), indent=1, default=float))
        summary = json.loads(result.read_text())["summary"]
        summaries.setdefault((link, where.label(engine)), []).append(summary)
    table = Table()
    for title in ("link", "engine", *(title for title, _, _ in COLUMNS)):
        table.add_column(title)
    for (link, engine), rows in summaries.items():
        values = ((estimate(row.get(key) for row in rows), digits) for _, key, digits in COLUMNS)
        table.add_row(link, engine, *("-" if v is None else f"{v.mean:.{digits}f}" for v, digits in values))
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
