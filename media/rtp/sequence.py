"""Serial-number arithmetic: 16-bit sequence numbers and 32-bit timestamps made to count on for ever."""


class Unwrapper:
    """Turns a wrapping counter into one that does not wrap.

    A value is taken as the nearest one to the last value seen (RFC 1982), so steps of up to half the range in
    either direction are understood.
    """

    __slots__ = ("_half", "_last", "_mask", "_size")

    def __init__(self, bits: int) -> None:
        self._size = 1 << bits
        self._mask = self._size - 1
        self._half = self._size >> 1
        self._last: int | None = None

    def unwrap(self, value: int) -> int:
        """The unwrapped value; the reference moves with it."""
        self._last = self.near(value)
        return self._last

    def near(self, value: int) -> int:
        """The unwrapped value; the reference stays: for values that others than the source itself may have made."""
        if self._last is None:
            return value
        step = (value - self._last) & self._mask
        if step >= self._half:
            step -= self._size
        return self._last + step
