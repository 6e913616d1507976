"""Who gets a place, and whose turn it is, where strangers want more than there is. Sans-IO.

Both structures are trees by address (network_address.address_path): a site, the networks in it, the addresses in
these. An attacker has as many addresses as its site gives out, an IPv6 /56 has 256 networks; so what is shared is
shared among sites first, then among the networks of a site, and so on. Everybody else keeps the share of one.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")
Path = tuple[str, ...]


class _Group(Generic[T]):
    __slots__ = ("groups", "items", "size")

    def __init__(self) -> None:
        self.size = 0
        self.groups: OrderedDict[str, _Group[T]] = OrderedDict()
        self.items: OrderedDict[T, None] = OrderedDict()

    def add(self, path: Path, item: T) -> None:
        group = self
        group.size += 1
        for key in path:
            group = group.groups.setdefault(key, _Group())
            group.size += 1
        group.items[item] = None

    def remove(self, path: Path, item: T) -> None:
        group = self
        group.size -= 1
        for key in path:
            inner = group.groups[key]
            inner.size -= 1
            if not inner.size:
                del group.groups[key]
            group = inner
        del group.items[item]


class FairPlaces(Generic[T]):
    """At most `most` items at once, at most `of_address` of one address. Beyond that who holds most gives way: of the
    largest site, its largest network, and its largest address the item that got there, or was touched, longest ago."""

    def __init__(self, most: int, of_address: int) -> None:
        self.most = most
        self._of_address = of_address
        self._root: _Group[T] = _Group()
        self._paths: dict[T, Path] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, item: T) -> bool:
        return item in self._paths

    def add(self, item: T, path: Path) -> T | None:
        """Takes a place; returns the item that had to give way for it, which has none any more."""
        gone = self._crowded_out(path)
        if gone is not None:
            self.remove(gone)
        self._root.add(path, item)
        self._paths[item] = path
        return gone

    def remove(self, item: T) -> None:
        """Gives the place back. What has none is ignored."""
        path = self._paths.pop(item, None)
        if path is not None:
            self._root.remove(path, item)

    def touch(self, item: T) -> None:
        """It is not the next to go, of those of its address."""
        path = self._paths.get(item)
        if path is not None:
            self._at(path).items.move_to_end(item)

    def of_address(self, path: Path) -> int:
        """How many places the address holds."""
        group = self._root
        for key in path:
            if key not in group.groups:
                return 0
            group = group.groups[key]
        return group.size

    def _at(self, path: Path) -> _Group[T]:
        group = self._root
        for key in path:
            group = group.groups[key]
        return group

    def _crowded_out(self, path: Path) -> T | None:
        if self.of_address(path) >= self._of_address:
            return next(iter(self._at(path).items))
        return self.most_crowded() if len(self._paths) >= self.most else None

    def most_crowded(self) -> T | None:
        """Who is to give way next; None where nobody is."""
        group = self._root
        while group.groups:
            group = max(group.groups.values(), key=lambda inner: inner.size)
        return next(iter(group.items), None)


class FairQueue(Generic[T]):
    """Items that wait for their turn: sites take turns, in each its networks, its addresses, and its items."""

    def __init__(self) -> None:
        self._root: _Group[T] = _Group()
        self._paths: dict[T, Path] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def push(self, item: T, path: Path) -> None:
        """An item waits once: pushed again, it stays where it is."""
        if item not in self._paths:
            self._paths[item] = path
            self._root.add(path, item)

    def discard(self, item: T) -> None:
        path = self._paths.pop(item, None)
        if path is not None:
            self._root.remove(path, item)

    def pop(self) -> T:
        """Whose turn it is. Raises IndexError where nobody waits."""
        if not self._paths:
            raise IndexError("nobody waits")
        group = self._root
        while group.groups:
            key = next(iter(group.groups))
            group.groups.move_to_end(key)
            group = group.groups[key]
        item = next(iter(group.items))
        self.discard(item)
        return item
