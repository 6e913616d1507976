"""Who called whom, and what of it worked: printed at the end, and written down in docs/interop.md."""

from pathlib import Path

import pytest

from tests.interop.material import Plan

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "interop.md"
BEGIN, END = "<!-- pairs: written by the tier -->", "<!-- end of pairs -->"
FEATURES = ("voice", "trickle", "VP8", "H264", "data")
SCENARIOS = ("3 % loss", "camera joins", "ICE restart", "codec change", "stop, start", "silent", "NAT")
RECORD = pytest.StashKey["Record"]()
RANK = {"yes": 0, "skipped": 1, "FAILED": 2}  # the worst of a pair's tests is its outcome


class Record:
    """Outcomes by pair and feature."""

    def __init__(self) -> None:
        self.pairs: dict[tuple[str, str], dict[str, str]] = {}

    def add(self, report: pytest.TestReport) -> None:
        """A test's set-up, call or end."""
        plan = dict(report.user_properties).get("plan")
        if not isinstance(plan, Plan) or (report.when != "call" and report.passed):
            return
        if hasattr(report, "wasxfail"):  # its own mark says what is missing
            return
        outcome = "yes" if report.passed else "skipped" if report.skipped else "FAILED"
        row = self.pairs.setdefault((plan.offerer, plan.answerer), {})
        for feature in plan.features:
            row[feature] = max(row.get(feature, outcome), outcome, key=RANK.__getitem__)

    def table(self) -> str:
        """Of the calls, and of what happens in their middle."""
        tables = [self._table(FEATURES), self._table(SCENARIOS)]
        return "\n\n".join(table for table in tables if table)

    def _table(self, features: tuple[str, ...]) -> str:
        """In Markdown. What a pair does not have at all is a dash."""
        lines = [["offers", "answers", *features]]
        for pair, row in self.pairs.items():
            if row.keys() & set(features):
                lines.append([*pair, *(row.get(f, "-") for f in features)])
        if len(lines) == 1:
            return ""
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        lines.insert(1, ["-" * width for width in widths])
        return "\n".join(
            f"| {' | '.join(c.ljust(w) for c, w in zip(line, widths, strict=True))} |" for line in lines
        )

    def is_whole(self) -> bool:
        """Whether everything ran, and passed."""
        return bool(self.pairs) and all(o == "yes" for row in self.pairs.values() for o in row.values())

    def write(self, versions: list[str]) -> None:
        text = DOCUMENT.read_text()
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
        block = f"\n{self.table()}\n\nLast written with {', '.join(versions)}.\n"
        DOCUMENT.write_text(f"{before}{BEGIN}{block}{END}{after}")


def written() -> list[str]:
    """The lines of the table in the document."""
    block = DOCUMENT.read_text().split(BEGIN)[1].split(END)[0]
    return [line for line in block.splitlines() if line.startswith("|")]
