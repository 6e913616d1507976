"""What the tests with sockets share."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def socket_count() -> Callable[[], int]:
    """How many sockets this process has open; the test is skipped where the system cannot tell."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc to count sockets in")

    def count() -> int:
        found = 0
        for entry in folder.iterdir():
            try:
                found += str(entry.readlink()).startswith("socket:")
            except OSError:
                continue
        return found

    return count
