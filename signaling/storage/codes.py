"""The codes of the last day and what they drew on, so that a restart does not renew the limits on codes."""

import json

from sqlalchemy import delete, select, update

from signaling.policy.sms import SentCode
from signaling.storage.store import Store, codes


class CodeLog:
    """Raises SQLAlchemyError. No number and no code is in it: hashes, prefixes and countries."""

    def __init__(self, store: Store) -> None:
        self._database = store.database

    async def note(self, code: SentCode) -> None:
        values = {"registration": code.registration, "at": code.at, "entered": code.entered}
        note = codes.insert().values(**values, drawn=json.dumps(code.drawn))
        await self._database.run(lambda db: db.execute(note))

    async def take_back(self, code: SentCode) -> None:
        """It was not sent after all."""
        gone = delete(codes).where(codes.c.registration == code.registration, codes.c.at == code.at)
        await self._database.run(lambda db: db.execute(gone))

    async def entered(self, registration: str) -> None:
        """All the codes of this registration."""
        change = update(codes).where(codes.c.registration == registration).values(entered=True)
        await self._database.run(lambda db: db.execute(change))

    async def all(self) -> list[SentCode]:
        """Oldest first."""
        query = select(codes.c.registration, codes.c.at, codes.c.drawn, codes.c.entered).order_by(codes.c.at)
        rows = await self._database.run(lambda db: db.execute(query).all())
        return [
            SentCode(r.registration, r.at, tuple(map(tuple, json.loads(r.drawn))), r.entered) for r in rows
        ]

    async def forget(self, before: float) -> None:
        await self._database.run(lambda db: db.execute(delete(codes).where(codes.c.at < before)))
