"""What survives a restart: registrations, devices, used assertions, messages for who is away. SQLAlchemy 2 async."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Float, Integer, String, Table, delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

metadata = sa.MetaData()
accounts = Table(
    "accounts",
    metadata,
    Column("number", String(16), primary_key=True),
    Column("generation", Integer, nullable=False),
)
devices = Table(
    "devices",
    metadata,
    Column("device", String(17), primary_key=True),
    Column("number", String(16), sa.ForeignKey("accounts.number"), nullable=False, index=True),
    Column("key", String(43), nullable=False),
    Column("name", String(64), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("added", Float, nullable=False),
    Column("used", Float, nullable=False),
)
registrations = Table(
    "registrations",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("number", String(16), nullable=False),
    Column("code_hash", String(64), nullable=False),
    Column("expires", Float, nullable=False, index=True),
    Column("sent", Integer, nullable=False),
    Column("next_send", Float, nullable=False),
    Column("tries_left", Integer, nullable=False),
    Column("next_try", Float, nullable=False),
)
assertions = Table(
    "assertions",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("expires", Float, nullable=False, index=True),
)
messages = Table(
    "messages",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("number", String(16), nullable=False),
    Column("sender", String(16), nullable=False),
    Column("kept", Float, nullable=False, index=True),
    Column("stanza", sa.Text, nullable=False),
    sa.Index("messages_of_number", "number", "id"),
)


@dataclass(frozen=True, slots=True)
class Registration:
    """One attempt to register a number. Times are Unix seconds; `code_hash` is an HMAC (registration.py)."""

    id: str
    number: str
    code_hash: str = field(repr=False)
    expires: float
    sent: int
    next_send: float
    tries_left: int
    next_try: float


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
                for pragma in ("journal_mode = WAL", "foreign_keys = ON", "busy_timeout = 5000"):
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
        insert = sqlite_insert if self._engine.dialect.name == "sqlite" else postgresql_insert
        values = asdict(registration)
        query = insert(registrations).values(values)
        async with self._engine.begin() as db:
            await db.execute(query.on_conflict_do_update(index_elements=["id"], set_=values))

    async def registration(self, id_: str) -> Registration | None:
        async with self._engine.connect() as db:
            query = select(registrations).where(registrations.c.id == id_)
            row = (await db.execute(query)).mappings().one_or_none()
            return Registration(**row) if row else None

    async def delete_registration(self, id_: str) -> None:
        async with self._engine.begin() as db:
            await db.execute(delete(registrations).where(registrations.c.id == id_))

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

    async def keep_message(self, number: str, message: KeptMessage, limit: int) -> bool:
        """Keeps a message for a number; False if the number is not registered or has `limit` messages."""
        async with self._engine.begin() as db:
            query = select(sa.func.count()).select_from(devices).where(devices.c.number == number)
            if not await db.scalar(query):
                return False
            query = select(sa.func.count()).select_from(messages).where(messages.c.number == number)
            if (await db.scalar(query) or 0) >= limit:
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
