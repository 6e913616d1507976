"""Many rows in few statements.

A driver gives the interpreter back for each row of an "executemany" and waits for it before the next: beside a busy
event loop that takes longer than the rows. SQLAlchemy would compile a statement of many rows anew each time.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

MOST = 64  # rows of a statement: of five columns that stays below the 999 parameters of SQLite before 3.32


def insert_rows(db: sa.Connection, table: sa.Table, rows: Sequence[Sequence[Any]]) -> None:
    """`rows` have a value for each column of the table, in its order, as the database takes it."""
    done = 0
    while done < len(rows):
        count = min(MOST, 1 << (len(rows) - done).bit_length() - 1)  # few statements, and few kinds of them
        values = (value for row in rows[done : done + count] for value in row)
        db.execute(_statement(table, count), {f"p{n}": value for n, value in enumerate(values)})
        done += count


@cache
def _statement(table: sa.Table, rows: int) -> sa.TextClause:
    width = len(table.columns)
    groups = (
        f"({', '.join(f':p{n}' for n in range(row * width, (row + 1) * width))})" for row in range(rows)
    )
    return sa.text(f"INSERT INTO {table.name} ({', '.join(table.columns.keys())}) VALUES {', '.join(groups)}")
