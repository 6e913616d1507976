"""The schema's version, and the steps from each version to the next. SQL that SQLite and PostgreSQL both speak."""

import sqlalchemy as sa

from signaling.errors import ServerStartError

# STEPS[n] leads from version n + 1 to n + 2. New tables need no step: they are made when they are missing.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        "ALTER TABLE accounts ADD COLUMN since DOUBLE PRECISION NOT NULL DEFAULT 0",
        "ALTER TABLE accounts ADD COLUMN findable VARCHAR(16) NOT NULL DEFAULT 'everybody'",
    ),
)


def migrate(db: sa.Connection, metadata: sa.MetaData, steps: tuple[tuple[str, ...], ...] = STEPS) -> None:
    """Brings a database, empty or of any earlier version, to the present one: wholly or not at all.

    Raises ServerStartError if a newer Ringline made it, SQLAlchemyError.
    """
    if db.dialect.name == "sqlite":
        # Python's driver begins no transaction by itself for what changes the schema.
        db.exec_driver_sql("BEGIN IMMEDIATE")
    newest = len(steps) + 1
    version = newest
    names = sa.inspect(db).get_table_names()
    if "schema_version" in names:
        version = db.scalar(sa.text("SELECT version FROM schema_version")) or 0
    elif "accounts" in names:
        version = 1  # made before versions were written down
    if not 1 <= version <= newest:
        raise ServerStartError(f"the database has schema {version}, this Ringline knows 1 to {newest}")
    for statement in (statement for step in steps[version - 1 :] for statement in step):
        db.execute(sa.text(statement))
    metadata.create_all(db)
    db.execute(sa.text("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"))
    db.execute(sa.text("DELETE FROM schema_version"))
    db.execute(sa.text("INSERT INTO schema_version VALUES (:version)"), {"version": newest})
