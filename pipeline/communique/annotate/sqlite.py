"""The tables of annotated releases as an SQLite database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Iterable

from .tables import INT, REAL, TABLES, rows

KINDS = {INT: "INTEGER", REAL: "REAL"}


def write_sqlite(lines: Iterable[bytes], path: Path) -> None:
    """A new database with a table each, and indexes on what is looked up: see ``communique.annotate.tables``.

    The same records give the same bytes with the same version of SQLite.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        # a file that is moved to its place when it is whole needs no journal
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN")
        for name, table in TABLES.items():
            columns = [f"{column} {KINDS.get(kind, 'TEXT')}" for column, kind in table.columns.items()]
            database.execute(f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({', '.join(table.key)}))")
        inserts = {
            name: f"INSERT INTO {name} VALUES ({', '.join('?' * len(table.columns))})" for name, table in TABLES.items()
        }
        for line in lines:
            for name, found in rows(json.loads(line)).items():
                database.executemany(inserts[name], found)
        for name, table in TABLES.items():
            for column in table.indexed:
                database.execute(f"CREATE INDEX {name}_{column} ON {name} ({column})")
        database.execute("COMMIT")
