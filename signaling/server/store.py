"""What survives a restart: registrations, devices, used assertions, messages for who is away. SQLAlchemy 2 async."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Double, Integer, String, Table, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from signaling.one_time_code import Registration

metadata = sa.MetaData()


def _column(name: str, type_: Any, *constraints: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, *constraints, nullable=False, **options)


def _table(name: str, *columns: Any) -> Table:
    return Table(name, metadata, *columns)


NUMBER = String(16)
accounts = _table("accounts", _column("number", NUMBER, primary_key=True), _column("generation", Integer))
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


@dataclass(frozen=True, slots=True)
class Device:
    """A registered device. `generation` is its account's; `key` is base64url."""

    device: str
    number: str
    key: str
    name: str
    added: float
    used: float
    generation: int


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """`id` grows with each message; it is 0 for one that is not yet in the store."""

    id: int
    sender: str
    kept: float
    stanza: str


class Store:
    """All the database access of the server; every method is one transaction. Raises SQLAlchemyError."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    async def open(cls, url: str) -> "Store":
        """`sqlite+aiosqlite:///PATH` or `postgresql+asyncpg://...`; missing tables are made."""
        if not url.startswith("sqlite"):
            engine = create_async_engine(url, pool_pre_ping=True)
        else:
            # One connection: transactions queue up here instead of failing with "database is locked".
            engine = create_async_engine(url, pool_size=1, max_overflow=0)

            @sa.event.listens_for(engine.sync_engine, "connect")
            def on_connect(connection: Any, record: Any) -> None:
                # NORMAL with WAL: a power cut may lose the last transactions, and damages nothing.
                for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
                    connection.execute(f"PRAGMA {pragma}")

        store = cls(engine)
        try:
            async with engine.begin() as db:
                await db.run_sync(metadata.create_all)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        await self._engine.dispose()

    async def check(self) -> None:
        """Raises SQLAlchemyError if the database does not answer."""
        async with self._engine.connect() as db:
            await db.execute(sa.text("SELECT 1"))

    async def save_registration(self, registration: Registration) -> None:
        """Writes a registration, new or changed."""
        values = asdict(registration)
        async with self._engine.begin() as db:
            query = update(registrations).where(registrations.c.id == registration.id)
            if not (await db.execute(query.values(values))).rowcount:
                await db.execute(registrations.insert().values(values))

    async def registration(self, id_: str) -> Registration | None:
        async with self._engine.connect() as db:
            query = select(registrations).where(registrations.c.id == id_)
            row = (await db.execute(query)).mappings().one_or_none()
            return Registration(**row) if row else None

    async def register_device(
        self, registration: str, number: str, device: str, key: str, name: str, token_hash: str, now: float
    ) -> int:
        """Begins a new generation of the number with this one device; the registration is used up with it.

        Returns the generation, counted from 1. All earlier devices and kept messages of the number are gone.
        """
        async with self._engine.begin() as db:
            await db.execute(delete(registrations).where(registrations.c.id == registration))
            await db.execute(delete(devices).where(devices.c.number == number))
            await db.execute(delete(messages).where(messages.c.number == number))
            old = await db.scalar(select(accounts.c.generation).where(accounts.c.number == number))
            generation = (old or 0) + 1
            if old is None:
                await db.execute(accounts.insert().values(number=number, generation=generation))
            else:
                query = update(accounts).where(accounts.c.number == number)
                await db.execute(query.values(generation=generation))
            values = {"device": device, "number": number, "key": key, "name": name, "token_hash": token_hash}
            await db.execute(devices.insert().values(**values, added=now, used=now))
        return generation

    async def _devices(self, condition: Any) -> list[Device]:
        columns = [c for c in devices.c if c.name != "token_hash"]
        query = select(*columns, accounts.c.generation).join(accounts).where(condition)
        async with self._engine.connect() as db:
            rows = (await db.execute(query.order_by(devices.c.added))).mappings()
            return [Device(**row) for row in rows]

    async def device_by_token(self, token_hash: str) -> Device | None:
        found = await self._devices(devices.c.token_hash == token_hash)
        return found[0] if found else None

    async def devices_of(self, numbers: Iterable[str]) -> dict[str, list[Device]]:
        """By number; a number without devices is absent."""
        result: dict[str, list[Device]] = {}
        for device in await self._devices(devices.c.number.in_(list(numbers))):
            result.setdefault(device.number, []).append(device)
        return result

    async def device(self, number: str, device: str) -> Device | None:
        found = await self._devices((devices.c.number == number) & (devices.c.device == device))
        return found[0] if found else None

    async def delete_device(self, number: str, device: str) -> bool:
        """False if the number has no such device."""
        query = delete(devices).where(devices.c.number == number, devices.c.device == device)
        async with self._engine.begin() as db:
            return (await db.execute(query)).rowcount > 0

    async def use_assertion(self, device: str, id_: str, expires: float, now: float) -> bool:
        """Notes the device as used now. False if it has used this assertion before."""
        try:
            async with self._engine.begin() as db:
                await db.execute(assertions.insert().values(id=f"{device} {id_}", expires=expires))
                await db.execute(update(devices).where(devices.c.device == device).values(used=now))
        except IntegrityError:
            return False
        return True

    async def keep_message(self, number: str, message: KeptMessage, limit: int, of_one: int) -> bool:
        """Keeps a message for a number.

        False if the number is not registered, has `limit` messages, or `of_one` messages of this sender.
        """
        async with self._engine.begin() as db:
            query = select(func.count()).select_from(devices).where(devices.c.number == number)
            if not await db.scalar(query):
                return False
            own = func.sum(sa.case((messages.c.sender == message.sender, 1), else_=0))
            query = select(func.count(), func.coalesce(own, 0)).where(messages.c.number == number)
            kept, of_sender = map(int, (await db.execute(query)).one())
            if kept >= limit or of_sender >= of_one:
                return False
            values = {"sender": message.sender, "kept": message.kept, "stanza": message.stanza}
            await db.execute(messages.insert().values(number=number, **values))
        return True

    async def kept_messages(self, number: str, since: float, limit: int) -> list[KeptMessage]:
        """The oldest kept messages of a number that are not older than `since`."""
        query = select(messages.c.id, messages.c.sender, messages.c.kept, messages.c.stanza)
        query = query.where(messages.c.number == number, messages.c.kept >= since)
        async with self._engine.connect() as db:
            rows = (await db.execute(query.order_by(messages.c.id).limit(limit))).mappings()
            return [KeptMessage(**row) for row in rows]

    async def drop_messages(self, number: str, last: int) -> None:
        """Deletes the messages of a number up to this id: they have been delivered."""
        async with self._engine.begin() as db:
            await db.execute(delete(messages).where(messages.c.number == number, messages.c.id <= last))

    async def sweep(self, now: float, kept_since: float) -> None:
        """Deletes what is over: registrations, assertions, old messages."""
        async with self._engine.begin() as db:
            await db.execute(delete(registrations).where(registrations.c.expires < now))
            await db.execute(delete(assertions).where(assertions.c.expires < now))
            await db.execute(delete(messages).where(messages.c.kept < kept_since))
