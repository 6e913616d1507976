"""The page itself: one file with its style, its script and the data in it. Nothing is loaded from anywhere.

The charts are drawn by the page's own script: plotly's is 4.8 MB, of which a page of lines uses a hundredth.
"""

import json
import math
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

# Nothing but what stands in the file may run or load; recordings may lie beside it.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src data: blob: file: 'self'; base-uri 'none'; form-action 'none'"
)


def make_page(title: str, facts: str, body: str, content: Any) -> str:
    """`facts` and `body` are HTML; `content` is what the script gets, JSON-able."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{_resource("report.css")}</style>
</head>
<body>
<header><div><h1>{escape(title)}</h1><p class="facts">{facts}</p></div>
<button type="button" id="theme" aria-label="light or dark" title="light or dark">◐</button></header>
<main>
{body}
</main>
<script type="application/json" id="content">{script_json(content)}</script>
<script>
{_resource("report.js")}</script>
</body>
</html>
"""


def script_json(content: Any) -> str:
    """JSON that cannot end the element that it stands in; what is no finite number is null."""
    text = json.dumps(_finite(content), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _resource(name: str) -> str:
    return files("media.quality").joinpath("page", name).read_text(encoding="utf-8")
