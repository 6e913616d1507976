"""What survives a restart: registrations, devices, used assertions, messages for who is away. SQLAlchemy 2 async."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Double, Integer, String, Table, bindparam, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from signaling.one_time_code import Registration
from signaling.problem import Problem
from signaling.reachability import Findable, Standing
from signaling.storage.database import Database
from signaling.storage.many_rows import insert_rows
from signaling.storage.migrations import migrate
from signaling.storage.room import KeptMessage, Room
from signaling.xml import byte_length

metadata = sa.MetaData()


def _column(name: str, type_: Any, *constraints: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, *constraints, nullable=False, **options)


def _table(name: str, *columns: Any) -> Table:
    return Table(name, metadata, *columns)


NUMBER = String(16)
accounts = _table(
    "accounts",
    _column("number", NUMBER, primary_key=True),
    _column("generation", Integer),
    _column("since", Double, server_default="0"),
    _column("findable", String(16), server_default=Findable.EVERYBODY),
)
# Whom an account has in its address book: kept only while it is findable by those, and only who is registered.
listings = _table(
    "listings", _column("owner", NUMBER, primary_key=True), _column("number", NUMBER, primary_key=True)
)
blocks = _table(
    "blocks", _column("owner", NUMBER, primary_key=True), _column("number", NUMBER, primary_key=True)
)
devices = _table(
    "devices",
    _column("device", String(17), primary_key=True),
    _column("number", NUMBER, sa.ForeignKey("accounts.number"), index=True),
    _column("key", String(43)),
    _column("name", String(64)),
    _column("token_hash", String(64), unique=True),
    _column("added", Double),
    _column("used", Double),
)
# `text` is empty while the list of before names a device that is no more.
device_lists = _table(
    "device_lists",
    _column("number", NUMBER, primary_key=True),
    _column("version", sa.BigInteger),
    _column("text", sa.Text),
)
pins = _table("pins", _column("number", NUMBER, primary_key=True), _column("hash", String(64)))
registrations = _table(
    "registrations",
    _column("id", String(22), primary_key=True),
    _column("number", NUMBER),
    _column("code_hash", String(64)),
    _column("expires", Double, index=True),
    _column("sent", Integer),
    _column("next_send", Double),
    _column("tries_left", Integer),
    _column("next_try", Double),
)
codes = _table(
    "codes",
    _column("id", Integer, primary_key=True, autoincrement=True),
    _column("registration", String(22), index=True),
    _column("at", Double, index=True),
    _column("drawn", sa.Text),
    _column("entered", sa.Boolean),
)
assertions = _table(
    "assertions", _column("id", String(128), primary_key=True), _column("expires", Double, index=True)
)
messages = _table(
    "messages",
    _column("id", Integer, primary_key=True, autoincrement=True),
    _column("number", NUMBER),
    _column("sender", NUMBER),
    _column("kept", Double, index=True),
    _column("stanza", sa.Text),
    sa.Index("messages_of_number", "number", "id"),
)

server_clock = _table(
    "server_clock",
    _column("id", Integer, primary_key=True),
    _column("wall", Double),
    _column("now", Double),
    _column("confirmed", Double),
)


def _has(table: Table, owner: Any, number: Any) -> Any:
    return sa.exists().where(table.c.owner == owner, table.c.number == number)


_has_device = sa.exists().where(devices.c.number == accounts.c.number)
# What is asked for every stanza or login is put together once: that costs more than SQLite's part of it.
_DEVICE = (
    select(*(c for c in devices.c if c.name != "token_hash"), accounts.c.generation, accounts.c.since)
    .join(accounts)
    .order_by(devices.c.added)
)
_THIS_DEVICE = _DEVICE.where(devices.c.number == bindparam("of"), devices.c.device == bindparam("name"))
_STANDINGS = select(
    accounts.c.number,
    accounts.c.findable,
    _has(listings, accounts.c.number, bindparam("asker")),
    _has(blocks, accounts.c.number, bindparam("asker")),
).where(accounts.c.number.in_(bindparam("numbers", expanding=True)), _has_device)
_BLOCKED = select(blocks.c.number).where(
    blocks.c.owner == bindparam("asker"), blocks.c.number == bindparam("number")
)
_KEPT = (
    select(messages)
    .where(messages.c.number == bindparam("of"), messages.c.kept >= bindparam("since"))
    .where(messages.c.id > bindparam("after"))
    .order_by(messages.c.id)
    .limit(bindparam("most"))
)
# A row for each registered number and sender; without messages, one whose sender is NULL.
_HOW_MANY = (
    select(accounts.c.number, messages.c.sender, func.count(messages.c.id))
    .join_from(accounts, messages, messages.c.number == accounts.c.number, isouter=True)
    .where(accounts.c.number.in_(bindparam("numbers", expanding=True)), _has_device)
    .group_by(accounts.c.number, messages.c.sender)
)
_DROP = delete(messages).where(messages.c.id.in_(bindparam("ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class Device:
    """A registered device. `generation` and `since` (its beginning) are its account's; `key` is base64url."""

    device: str
    number: str
    key: str
    name: str
    added: float
    used: float
    generation: int
    since: float


class Holder(NamedTuple):
    """Of a stream: the device that it is of, as of its login."""

    number: str
    device: str
    generation: int


def require(db: sa.Connection, by: Device | Holder | None) -> None:
    """Within the transaction of a change that this device asked for: what was removed meanwhile changes nothing more.

    Raises:
        Problem: device_revoked.
    """
    if by is not None:
        row = db.execute(_THIS_DEVICE, {"of": by.number, "name": by.device}).mappings().one_or_none()
        if row is None or row["generation"] != by.generation:
            raise Problem("device_revoked")


class Store:
    """All the database access of the server; every method is one transaction. Raises SQLAlchemyError."""

    def __init__(self, database: Database) -> None:
        self.database = database  # for what keeps its tables here, too (accounts.py)
        self._last_message = 0
        self._room = Room()

    @classmethod
    async def open(cls, url: str) -> "Store":
        """`sqlite:///PATH` or `postgresql+asyncpg://...`; brought to the present schema."""
        store = cls(Database(url))
        try:
            await store.database.run_long(lambda db: migrate(db, metadata))
            # Before anything is deleted: an id that somebody has seen while we run must not come again.
            store._last_message = await store._scalar(select(func.max(messages.c.id))) or 0
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        await self.database.close()

    async def check(self) -> None:
        """Raises SQLAlchemyError if the database does not answer."""
        await self._execute(sa.text("SELECT 1"))

    async def _execute(self, *statements: Any, by: Device | None = None) -> None:
        """In one transaction."""

        def work(db: sa.Connection) -> None:
            require(db, by)
            for statement in statements:
                db.execute(statement)

        await self.database.run(work)

    async def _scalar(self, query: Any) -> Any:
        return await self.database.run(lambda db: db.scalar(query))

    async def save_registration(self, registration: Registration) -> None:
        """Writes a registration, new or changed."""
        values = asdict(registration)

        def work(db: sa.Connection) -> None:
            query = update(registrations).where(registrations.c.id == registration.id)
            if not db.execute(query.values(values)).rowcount:
                db.execute(registrations.insert().values(values))

        await self.database.run(work)

    async def registration(self, id_: str) -> Registration | None:
        query = select(registrations).where(registrations.c.id == id_)
        row = await self.database.run(lambda db: db.execute(query).mappings().one_or_none())
        return Registration(**row) if row else None

    async def register_device(
        self, registration: str, number: str, device: str, key: str, name: str, token_hash: str, now: float
    ) -> int:
        """Begins a new generation of the number with this one device; the registration is used up with it.

        Returns the generation, counted from 1. All earlier devices and kept messages of the number are gone.
        """

        def work(db: sa.Connection) -> int:
            db.execute(delete(registrations).where(registrations.c.id == registration))
            db.execute(delete(devices).where(devices.c.number == number))
            db.execute(delete(messages).where(messages.c.number == number))
            db.execute(delete(listings).where(listings.c.owner == number))
            db.execute(update(device_lists).where(device_lists.c.number == number).values(text=""))
            old = db.scalar(select(accounts.c.generation).where(accounts.c.number == number))
            generation = (old or 0) + 1
            if old is None:
                db.execute(accounts.insert().values(number=number, generation=generation, since=now))
            else:
                query = update(accounts).where(accounts.c.number == number)
                db.execute(query.values(generation=generation, since=now))
            values = {"device": device, "number": number, "key": key, "name": name, "token_hash": token_hash}
            db.execute(devices.insert().values(**values, added=now, used=now))
            return generation

        return await self.database.run(work)

    async def _devices(self, query: Any, **values: str) -> list[Device]:
        rows = await self.database.run(lambda db: db.execute(query, values).mappings().all())
        return [Device(**row) for row in rows]

    async def device_by_token(self, token_hash: str) -> Device | None:
        found = await self._devices(_DEVICE.where(devices.c.token_hash == token_hash))
        return found[0] if found else None

    async def devices_of(self, numbers: Iterable[str]) -> dict[str, list[Device]]:
        """By number; a number without devices is absent."""
        result: dict[str, list[Device]] = {}
        for device in await self._devices(_DEVICE.where(devices.c.number.in_(list(numbers)))):
            result.setdefault(device.number, []).append(device)
        return result

    async def device(self, number: str, device: str) -> Device | None:
        found = await self._devices(_THIS_DEVICE, of=number, name=device)
        return found[0] if found else None

    async def delete_device(self, number: str, device: str, by: Device | None = None) -> bool:
        """False if the number has no such device. Raises Problem(device_revoked) where `by` stands no more."""
        query = delete(devices).where(devices.c.number == number, devices.c.device == device)
        stale = update(device_lists).where(device_lists.c.number == number).values(text="")

        def work(db: sa.Connection) -> bool:
            require(db, by)
            found = db.execute(query).rowcount > 0
            if found:
                db.execute(stale)
            return found

        try:
            return await self.database.run(work)
        finally:
            self._room.forget(number)  # it may have been the last

    async def findable(self, number: str) -> Findable:
        found = await self._scalar(select(accounts.c.findable).where(accounts.c.number == number))
        return Findable(found or Findable.EVERYBODY)

    async def set_findable(self, number: str, findable: Findable, by: Device | None = None) -> None:
        """The address book is kept only while it decides something. Raises Problem(device_revoked)."""
        statements: list[Any] = [
            update(accounts).where(accounts.c.number == number).values(findable=str(findable))
        ]
        if findable is not Findable.MUTUAL:
            statements.append(delete(listings).where(listings.c.owner == number))
        await self._execute(*statements, by=by)

    async def standings(self, asker: str, numbers: Iterable[str]) -> dict[str, Standing]:
        """Of those that are registered, to the asker; one query, whatever they are."""
        values = {"asker": asker, "numbers": list(numbers)}
        rows = await self.database.run(lambda db: db.execute(_STANDINGS, values).all())
        return {row[0]: Standing(Findable(row[1]), *map(bool, row[2:])) for row in rows}

    async def relation(self, asker: str, number: str) -> tuple[bool, Standing | None]:
        """Whether the asker blocks the number, registered or not; and how that stands to the asker, if it is. The same
        two queries, whatever it is."""

        def work(db: sa.Connection) -> tuple[bool, Any]:
            blocked = db.scalar(_BLOCKED, {"asker": asker, "number": number}) is not None
            return blocked, db.execute(_STANDINGS, {"asker": asker, "numbers": [number]}).one_or_none()

        blocked, row = await self.database.run(work)
        return blocked, Standing(Findable(row[1]), *map(bool, row[2:])) if row else None

    async def change_pairs(
        self, table: Table, owner: str, add: set[str], remove: set[str], by: Device | Holder | None = None
    ) -> None:
        """Of `listings` or `blocks`. Raises Problem(device_revoked)."""
        old = delete(table).where(table.c.owner == owner, table.c.number.in_(add | remove))
        new = [{"owner": owner, "number": n} for n in sorted(add)]

        def work(db: sa.Connection) -> None:
            require(db, by)
            db.execute(old)
            if new:
                db.execute(table.insert(), new)

        await self.database.run(work)

    async def pairs(self, table: Table, owner: str) -> list[str]:
        """All the numbers of one owner, in order."""
        query = select(table.c.number).where(table.c.owner == owner).order_by(table.c.number)
        return await self.database.run(lambda db: list(db.scalars(query)))

    async def use_assertion(self, device: str, id_: str, expires: float, now: float) -> bool:
        """Notes the device as used now. False if it has used this assertion before."""
        note = assertions.insert().values(id=f"{device} {id_}", expires=expires)
        try:
            await self._execute(note, update(devices).where(devices.c.device == device).values(used=now))
        except IntegrityError:
            return False
        return True

    async def keep_messages(
        self, batch: list[KeptMessage], max_bytes: int, limit: int, of_one: int
    ) -> list[int]:
        """Keeps messages; their ids, which grow.

        0 for one that is too long, whose number is not registered, or has `limit` messages, or `of_one` of this sender.
        """

        def work(db: sa.Connection) -> list[int]:
            if unsure := self._room.unsure(batch, limit, of_one):
                self._room.know(unsure, db.execute(_HOW_MANY, {"numbers": unsure}).all())
            ids, rows = list[int](), list[tuple[Any, ...]]()
            for message in batch:
                if byte_length(message.stanza) > max_bytes or not self._room.take(message, limit, of_one):
                    ids.append(0)
                    continue
                self._last_message += 1  # never used twice while we run, even if it is not committed
                ids.append(self._last_message)
                rows.append(
                    (self._last_message, message.number, message.sender, message.kept, message.stanza)
                )
            insert_rows(db, messages, rows)
            return ids

        return await self.database.run(work)

    async def kept_messages(self, number: str, since: float, after: int, limit: int) -> list[KeptMessage]:
        """The oldest kept messages of a number that are not older than `since`, with ids above `after`."""
        wanted = {"of": number, "since": since, "after": after, "most": limit}
        rows = await self.database.run(lambda db: db.execute(_KEPT, wanted).all())
        return [KeptMessage(*row) for row in rows]

    async def drop_messages(self, ids: list[int]) -> None:
        """Deletes these messages: they have been delivered."""
        await self.database.run(lambda db: db.execute(_DROP, {"ids": ids}))

    async def sweep(self, now: float, kept_since: float) -> None:
        """Deletes what is over: registrations, assertions, old messages."""
        await self._execute(
            delete(registrations).where(registrations.c.expires < now),
            delete(assertions).where(assertions.c.expires < now),
            delete(messages).where(messages.c.kept < kept_since),
        )
