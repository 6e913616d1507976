"""Lay two reports of calls side by side: a table here, and a page with both time lines.

    ringline compare before/report.json after/report.json
    ringline compare A B --html compare.html --fail-if 'mos_lq<-0.2' --fail-if 'delay_ms>+10%'

Exit code: 0; 1 where a --fail-if rule is broken or a report cannot be read; 2 for a wrong command line.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from media import MediaError
from media.io.containers import reason
from media.io.outputs import check_output, write_text
from media.quality.compare import Rule, RuleError, compare, render
from media.quality.html_compare import render_comparison
from ringline.endpoint import EXIT_FAILED

EXIT_USAGE = 2


def rule(text: str) -> Rule:
    try:
        return Rule.parse(text)
    except RuleError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("a", type=Path, metavar="A", help="a report.json, or the folder that it lies in")
    add("b", type=Path, metavar="B", help="the one that is compared with it")
    add("--html", type=Path, metavar="FILE", help="write the page there (default: compare.html beside B)")
    add("--no-html", action="store_true", help="write no page")
    add(
        "--fail-if",
        type=rule,
        action="append",
        default=[],
        metavar="RULE",
        help="exit code 1 where B less A is so: mos_lq<-0.2, delay_ms>+10%%, video.freezes>0 (at any end)",
    )


def read(path: Path) -> Any:
    """The document. Raises ValueError."""
    path = path / "report.json" if path.is_dir() else path
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {reason(error)}") from None
    except (ValueError, RecursionError):
        raise ValueError(
            f"{path} is not a report: give the report.json that a call wrote, or its folder"
        ) from None


def name_reports(a: Path, b: Path) -> tuple[str, str]:
    """Names that tell the files apart: the file's, else the folder's, else the whole path."""
    for names in ((a.name, b.name), (a.resolve().parent.name, b.resolve().parent.name)):
        if names[0] != names[1] and all(names):
            return names
    return str(a), str(b)


def run(options: argparse.Namespace) -> int:
    try:
        a, b = read(options.a), read(options.b)
        comparison = compare(a, b)
        page = options.html or (options.b if options.b.is_dir() else options.b.parent) / "compare.html"
        if not options.no_html:
            check_output(page)
    except (ValueError, MediaError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    names = name_reports(options.a, options.b)
    print(f"A: {options.a}\nB: {options.b}")
    print(render(comparison, color=sys.stdout.isatty()))
    if not options.no_html:
        try:  # compare.html is ours to write anew
            page = write_text(page, render_comparison(a, b, names), replace=not options.html)
        except MediaError as error:
            print(f"error: {error}", file=sys.stderr)
            return EXIT_FAILED
        print(f"wrote {page}")
    try:
        broken = [why for each in options.fail_if if (why := each.broken(comparison))]
    except RuleError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    for why in broken:
        print(f"failed: {why}", file=sys.stderr)
    return EXIT_FAILED if broken else 0
