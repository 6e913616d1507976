"""The store's clock over restarts (signaling/store_clock.py)."""

from collections.abc import Callable

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from signaling.errors import ServerStartError
from signaling.storage.store import Store, server_clock
from signaling.store_clock import ClockState, StoreClock


async def load_clock(store: Store, wall: Callable[[], float], monotonic: Callable[[], float]) -> StoreClock:
    """As it was left; a new one for a new store. Raises ServerStartError."""
    query = select(server_clock.c.wall, server_clock.c.now, server_clock.c.confirmed)
    try:
        row = await store.database.run(lambda db: db.execute(query).first())
    except SQLAlchemyError as error:
        raise ServerStartError(f"cannot read the database ({type(error).__name__})") from None
    return StoreClock(wall, monotonic, ClockState(*row) if row is not None else None)


async def save_clock(store: Store, clock: StoreClock) -> None:
    """To be done every hour and at the end. Raises SQLAlchemyError."""
    state = clock.state()
    values = {"wall": state.wall, "now": state.now, "confirmed": state.confirmed}
    await store.database.run(
        lambda db: (
            db.execute(update(server_clock).values(values)).rowcount
            or db.execute(server_clock.insert().values(id=1, **values))
        )
    )
