"""A transaction at a time, all of it or nothing, and nothing after the end."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from signaling.storage.database import Database


async def test_a_transaction_that_raises_leaves_nothing_and_a_closed_database_stays_closed(
    tmp_path: Path,
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")

    def half(db: sa.Connection) -> None:
        db.execute(sa.text("INSERT INTO t VALUES (1)"))
        raise ValueError

    await database.run(lambda db: db.execute(sa.text("CREATE TABLE t (n)")).close())
    with pytest.raises(ValueError):
        await database.run(half)
    assert await database.run(lambda db: db.scalar(sa.text("SELECT count(*) FROM t"))) == 0
    await database.close()
    await database.close()
    with pytest.raises(sa.exc.SQLAlchemyError, match="closed"):
        await database.run(lambda db: db.scalar(sa.text("SELECT 1")))
