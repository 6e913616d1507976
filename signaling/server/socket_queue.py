"""What the kernel has of a socket and could not get rid of yet."""

import asyncio
import sys
from array import array
from typing import Any


def bytes_in_kernel(transport: asyncio.BaseTransport) -> int:
    """Sent, or to be sent, and not acknowledged by the other end's host (Linux: SIOCOUTQ, tcp(7)); 0 where that cannot
    be asked."""
    handle: Any = transport.get_extra_info("socket")
    if handle is None or sys.platform != "linux":
        return 0
    import fcntl
    import termios

    waiting = array("i", [0])
    try:
        fcntl.ioctl(handle.fileno(), termios.TIOCOUTQ, waiting)
    except (OSError, ValueError):  # ValueError: it is closed
        return 0
    return waiting[0]
