"""What the documents promise is held by tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_test_that_security_md_names_exists() -> None:
    tests = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"\btest_\w+", (ROOT / "docs/security.md").read_text()))
    files = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert len(named) > 50
    assert named - files <= tests, sorted(named - files - tests)
