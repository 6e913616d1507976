"""No long collections in a running call, and no waiting behind other processes."""

import gc
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from media.io.realtime import PRIORITY, avoid_pauses, take_ordinary_turns


def test_what_exists_is_not_walked_through_again() -> None:
    gc.collect()  # what other tests left
    before = len(gc.get_objects())
    try:
        avoid_pauses(real_time=False)
        assert gc.get_freeze_count() > 0.9 * before
        assert len(gc.get_objects()) < 0.1 * before
    finally:
        gc.unfreeze()


def _policies(begin: Callable[[], None]) -> tuple[int, int]:
    """Of a thread that did `begin`, and of one that was begun from it for long work."""
    with ThreadPoolExecutor(1) as sound:

        def work() -> tuple[int, int]:
            begin()
            with ThreadPoolExecutor(1, "codec", take_ordinary_turns) as codec:
                return os.sched_getscheduler(0), codec.submit(os.sched_getscheduler, 0).result()

        return sound.submit(work).result()


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="this system has no POSIX scheduling")
def test_sound_comes_before_ordinary_work_where_that_is_allowed() -> None:
    def allowed() -> bool:
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
        except OSError:
            return False
        return True

    with ThreadPoolExecutor(1) as other:
        expected = os.SCHED_RR if other.submit(allowed).result() else os.SCHED_OTHER
    try:
        assert _policies(avoid_pauses) == (expected, os.SCHED_OTHER)
        assert _policies(lambda: avoid_pauses(real_time=False)) == (os.SCHED_OTHER, os.SCHED_OTHER)
    finally:
        gc.unfreeze()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
