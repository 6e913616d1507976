"""Vectors that nobody here wrote: libwebrtc's fuzz seeds, beside the checkout where this project is developed."""

from collections.abc import Callable
from pathlib import Path

import pytest

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors"


@pytest.fixture
def vectors() -> Callable[[str], list[bytes]]:
    """`vectors(folder)`: the contents of every file of a folder, or the test is skipped."""

    def read(folder: str) -> list[bytes]:
        files = sorted(p for p in (VECTORS / folder).glob("*") if p.is_file())
        if not files:
            pytest.skip(f"no vectors/{folder}: the corpora are not beside this checkout")
        return [p.read_bytes() for p in files]

    return read
