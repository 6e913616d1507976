"""Databases of earlier versions, and of a later one."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from signaling.errors import ServerStartError
from signaling.storage.migrations import STEPS, migrate
from signaling.storage.store import metadata

# As the first release made it (SQLite's own words for it).
FIRST = """
CREATE TABLE accounts (number VARCHAR(16) NOT NULL, generation INTEGER NOT NULL, PRIMARY KEY (number));
CREATE TABLE devices (device VARCHAR(17) NOT NULL, number VARCHAR(16) NOT NULL, "key" VARCHAR(43) NOT NULL,
 name VARCHAR(64) NOT NULL, token_hash VARCHAR(64) NOT NULL, added DOUBLE NOT NULL, used DOUBLE NOT NULL,
 PRIMARY KEY (device), FOREIGN KEY(number) REFERENCES accounts (number), UNIQUE (token_hash));
CREATE INDEX ix_devices_number ON devices (number);
CREATE TABLE registrations (id VARCHAR(22) NOT NULL, number VARCHAR(16) NOT NULL, code_hash VARCHAR(64) NOT NULL,
 expires DOUBLE NOT NULL, sent INTEGER NOT NULL, next_send DOUBLE NOT NULL, tries_left INTEGER NOT NULL,
 next_try DOUBLE NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_registrations_expires ON registrations (expires);
CREATE TABLE assertions (id VARCHAR(128) NOT NULL, expires DOUBLE NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_assertions_expires ON assertions (expires);
CREATE TABLE messages (id INTEGER NOT NULL, number VARCHAR(16) NOT NULL, sender VARCHAR(16) NOT NULL,
 kept DOUBLE NOT NULL, stanza TEXT NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_messages_kept ON messages (kept);
CREATE INDEX messages_of_number ON messages (number, id);
INSERT INTO accounts VALUES ('+12025550100', 3);
"""


@pytest.fixture
def engine(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    yield engine
    engine.dispose()


def shape(engine):
    """Every column of every table, without their order, and the indices."""
    look = sa.inspect(engine)
    return {
        table: (
            {
                (c["name"], str(c["type"]).replace("DOUBLE", "REAL"), c["nullable"])
                for c in look.get_columns(table)
            },
            {i["name"] for i in look.get_indexes(table)},
        )
        for table in look.get_table_names()
    }


def test_the_first_release_is_brought_up_to_date(engine, tmp_path):
    with engine.begin() as db:
        for statement in FIRST.strip().split(";")[:-1]:
            db.exec_driver_sql(statement)
    for _ in range(2):  # the second time there is nothing to do
        with engine.begin() as db:
            migrate(db, metadata)
    with engine.begin() as db:
        row = db.execute(sa.text("SELECT number, generation, since, findable FROM accounts")).one()
        assert tuple(row) == ("+12025550100", 3, 0.0, "everybody")
        assert db.scalar(sa.text("SELECT version FROM schema_version")) == len(STEPS) + 1
    fresh = sa.create_engine(f"sqlite:///{tmp_path / 'fresh.db'}")
    with fresh.begin() as db:
        migrate(db, metadata)
    assert shape(engine) == shape(fresh)
    fresh.dispose()


def test_a_step_that_fails_changes_nothing(engine):
    with engine.begin() as db:
        migrate(db, metadata)
    before = shape(engine)
    more = (
        *STEPS,
        ("ALTER TABLE accounts ADD COLUMN extra INTEGER", "ALTER TABLE nothing ADD COLUMN x INTEGER"),
    )
    with pytest.raises(OperationalError), engine.begin() as db:
        migrate(db, metadata, more)
    assert shape(engine) == before
    with engine.begin() as db:
        migrate(db, metadata)


def test_a_database_of_a_newer_ringline_is_left_alone(engine):
    with engine.begin() as db:
        migrate(db, metadata)
        db.execute(sa.text("UPDATE schema_version SET version = 99"))
    with pytest.raises(ServerStartError, match="schema 99"), engine.begin() as db:
        migrate(db, metadata)
