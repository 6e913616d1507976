"""What a process that plays sound does once, when all is imported, so that nothing holds it up."""

import contextlib
import gc
import os

PRIORITY = 1  # of SCHED_RR's 1 to 99: before everything ordinary, behind all else that is in real time


def avoid_pauses(*, real_time: bool = True) -> None:
    """No long garbage collections, and a turn at once on a busy machine. To be called by a program, not by a library.

    A full collection walks through every object of every imported library: tens of milliseconds during which no packet
    is received and no sample played (measured: 33 ms with this package's 55,000 objects, 0.01 ms after this call). What
    exists now is taken out of its sight: cycles among the objects of now are never freed.

    `real_time`: this thread, and those begun from it for sound, come before ordinary processes, as the audio threads of
    libwebrtc do. Where the system does not allow it (Linux: neither root nor `ulimit -r`) nothing changes. Not for a
    process that keeps a whole core busy: others would hardly get a turn.
    """
    gc.collect()
    gc.freeze()
    if real_time and hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))


def take_ordinary_turns() -> None:
    """For a thread with long work, such as a video codec: it inherited its turns from the thread that began it."""
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
