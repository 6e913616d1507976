"""What belongs to an account beside its devices: the signed list of them, and the registration PIN."""

import asyncio
import hmac
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import delete, func, select, update

from signaling.device_link import Link
from signaling.device_list import DeviceList
from signaling.problem import Problem
from signaling.rate_limit import KeyedBuckets
from signaling.registration_pin import TRIES, is_locked, pin_hash, read_pin
from signaling.storage.store import Device, Store, accounts, device_lists, devices, pins, require


class AccountStore:
    """Raises SQLAlchemyError. `pepper` goes into the PINs' hashes; `to_wall`: a stored time as people are told it."""

    def __init__(
        self, store: Store, pepper: bytes, to_wall: Callable[[float], float] = lambda at: at
    ) -> None:
        self._to_wall = to_wall
        self._store = store
        self._database = store.database
        self._pepper = pepper
        self._tries = KeyedBuckets(TRIES)

    async def view(self, own: Device) -> dict[str, Any]:
        """The account as its device `own` may see it: GET /account."""
        found = (await self._store.devices_of([own.number])).get(own.number, [])
        return {
            "number": own.number,
            "generation": own.generation,
            "devices": [
                {
                    "device": device.device,
                    "name": device.name,
                    "key": device.key,
                    "added": datetime.fromtimestamp(self._to_wall(device.added), UTC).strftime(
                        "%Y-%m-%dT%H:%M:%SZ"
                    ),
                    "current": device.device == own.device,
                }
                for device in found
            ],
            "findable": await self._store.findable(own.number),
            "list": (await self.lists([own.number])).get(own.number),
            "list_version": await self.version(own.number),
            "pin": await self._pin(own.number) is not None,
        }

    async def lists(self, numbers: Iterable[str]) -> dict[str, str]:
        """The signed lists; a number without one is absent."""
        query = select(device_lists.c.number, device_lists.c.text).where(
            device_lists.c.number.in_(list(numbers)), device_lists.c.text != ""
        )
        return await self._database.run(lambda db: {row.number: row.text for row in db.execute(query)})

    async def version(self, number: str) -> int:
        """Of the last list there was, 0 if there was none."""
        query = select(device_lists.c.version).where(device_lists.c.number == number)
        return await self._database.run(lambda db: db.scalar(query)) or 0

    async def set_list(
        self,
        own: Device,
        listed: DeviceList,
        text: str,
        link: Link | None = None,
        token_hash: str = "",
        now: float = 0,
    ) -> bool:
        """Takes a list that was verified, and with it the device that was linked.

        False if another change came first: the account's devices, generation or list are not what was verified.
        """
        expected = set(listed.devices) - ({link.device} if link else set())

        def work(db: sa.Connection) -> bool:
            generation = db.scalar(select(accounts.c.generation).where(accounts.c.number == own.number))
            found = set(db.scalars(select(devices.c.device).where(devices.c.number == own.number)))
            if generation != own.generation or found != expected:
                return False
            values: dict[str, Any] = {"version": listed.version, "text": text}
            mine = device_lists.c.number == own.number
            change = update(device_lists).where(mine, device_lists.c.version < listed.version)
            if not db.execute(change.values(values)).rowcount:
                if db.scalar(select(func.count()).select_from(device_lists).where(mine)):
                    return False
                db.execute(device_lists.insert().values(number=own.number, **values))
            if link is not None:
                made = {"device": link.device, "number": own.number, "key": link.key, "name": link.name}
                db.execute(devices.insert().values(**made, token_hash=token_hash, added=now, used=now))
            return True

        return await self._database.run(work)

    async def set_pin(self, number: str, pin: object, by: Device | None = None) -> None:
        """None removes it. Raises Problem: bad_request, device_revoked where `by` stands no more."""
        hash_ = None if pin is None else await self._hash(number, read_pin(pin))

        def work(db: sa.Connection) -> None:
            require(db, by)
            db.execute(delete(pins).where(pins.c.number == number))
            if hash_ is not None:
                db.execute(pins.insert().values(number=number, hash=hash_))

        await self._database.run(work)

    async def check_pin(self, number: str, given: object, now: float, in_use: bool = False) -> None:
        """To be asked when the code was right: raises Problem if the number has a PIN and this is not it.

        `in_use`: one of its devices has a stream at this moment.
        """
        kept = await self._pin(number)
        if kept is None:
            return
        if not in_use and not is_locked(kept[1], now):
            return await self.set_pin(number, None)
        if given is None:
            raise Problem("pin_needed")
        pin = read_pin(given)
        if wait := self._tries.take(number, now):
            raise Problem("too_many", "too many tries with a PIN for this number", wait)
        if not hmac.compare_digest(await self._hash(number, pin), kept[0]):
            raise Problem("pin_needed", "the PIN is wrong")

    async def note_used(self, used: Iterable[str], now: float) -> None:
        """These devices are in use. Of others what was noted by a clock that was ahead is set right."""
        query = update(devices).where(devices.c.device == sa.bindparam("of_device")).values(used=now)
        ahead = update(devices).where(devices.c.used > now).values(used=now)
        rows = [{"of_device": name} for name in used]

        def work(db: sa.Connection) -> None:
            db.execute(ahead)
            if rows:
                db.execute(query, rows)

        await self._database.run(work)

    async def _hash(self, number: str, pin: str) -> str:
        return await asyncio.to_thread(pin_hash, pin, number, self._pepper)

    async def _pin(self, number: str) -> tuple[str, float] | None:
        """Its hash and when a device of the account was last used; None without one."""
        last = select(func.max(devices.c.used)).where(devices.c.number == number).scalar_subquery()
        query = select(pins.c.hash, last).where(pins.c.number == number)
        row = await self._database.run(lambda db: db.execute(query).one_or_none())
        return None if row is None else (row[0], row[1] or 0.0)
