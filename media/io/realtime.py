"""What a process that plays sound does once, when all is imported."""

import gc


def avoid_pauses() -> None:
    """Take what exists now out of the garbage collector's sight.

    A full collection walks through every object of every imported library: tens of milliseconds during which no packet
    is received and no sample played (measured: 33 ms with this package's 55,000 objects, 0.01 ms after this call). To
    be called by a program, not by a library: cycles among the objects of now are never freed.
    """
    gc.collect()
    gc.freeze()
