"""An emulated network, and calls in virtual time over it. Sans-IO: the time is handed in."""
