"""What the tests with sockets share."""

import os
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
        for entry in os.listdir(folder):
            try:
                found += os.readlink(folder / entry).startswith("socket:")
            except OSError:
                continue
        return found

    return count
