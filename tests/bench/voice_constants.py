"""The constants of a source file with what its comments say of them, so that a page never tells an old value."""

import ast
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NAME = re.compile(r"_?[A-Z][A-Z0-9_]*")
MAX_VALUE_CHARACTERS = 90


@dataclass(frozen=True, slots=True)
class Constant:
    name: str
    value: str
    comment: str


def constants(path: Path, names: Sequence[str] = ()) -> Iterator[Constant]:
    """Those of the module, or only the named ones, in order. Arrays that are computed from others are left out.

    Raises ValueError for a name that the module does not have.
    """
    source = path.read_text()
    comments = _comments(path)
    missing = set(names)
    for node in ast.parse(source).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name | ast.Tuple):
            continue
        target = ast.unparse(node.targets[0]).strip("()")
        parts = target.split(", ")
        if not all(NAME.fullmatch(part) for part in parts) or (names and not set(parts) & set(names)):
            continue
        missing -= set(parts)
        value = ast.unparse(node.value)
        if "np." in value:
            continue
        if isinstance(node.value, ast.Tuple):
            value = value[1:-1]
        if len(value) > MAX_VALUE_CHARACTERS:
            value = value[:MAX_VALUE_CHARACTERS].rsplit(",", 1)[0] + ", ..."
        last = node.end_lineno or node.lineno
        said = [comments[line] for line in range(node.lineno, last + 1) if line in comments]
        yield Constant(target, value, " ".join(said or _above(comments, source, node.lineno)))
    if missing:
        raise ValueError(f"{path.name} has no {', '.join(sorted(missing))}")


def table(path: Path, names: Sequence[str] = ()) -> str:
    """In Markdown."""
    rows = [f"| `{c.name}` | `{c.value}` | {c.comment.replace('|', '/')} |" for c in constants(path, names)]
    return "\n".join(["| constant | value | what it is, and where it is from |", "|---|---|---|", *rows])


def _comments(path: Path) -> dict[int, str]:
    with path.open("rb") as file:
        return {
            token.start[0]: token.string.lstrip("# ")
            for token in tokenize.tokenize(file.readline)
            if token.type == tokenize.COMMENT and not token.string.startswith("# fmt:")
        }


def _above(comments: dict[int, str], source: str, line: int) -> list[str]:
    """The comment lines that stand right above."""
    lines, said = source.splitlines(), []
    while line > 1 and lines[line - 2].startswith("#"):
        line -= 1
        said.insert(0, comments.get(line, ""))
    return said
