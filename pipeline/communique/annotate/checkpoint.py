"""What was annotated so far: an SQLite file beside the output, from which the output is made.

Every release that is there is safe on the disk once ``commit`` has returned, whatever happens to the process or the
machine. The file is locked while it is open, so that one run at a time writes an output.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator, List, Mapping, Optional, Tuple, Type

from ..errors import CommuniqueError, Defect
from ..release import Release

VERSION = 1
PAGE = 100  # releases that are fetched at once
DIRTY = "dirty"
RUN = "run"
WRITTEN = "written"  # how the output was when it was written last; nothing while it is being written
SCHEMA = """
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE models (number INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE releases (
    place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, hash BLOB NOT NULL, model INTEGER NOT NULL,
    facts INTEGER NOT NULL, line BLOB NOT NULL
);
CREATE TABLE failed (
    id TEXT PRIMARY KEY, hash BLOB NOT NULL, model INTEGER NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL
);
CREATE TABLE names (label TEXT, name TEXT, run INTEGER NOT NULL, PRIMARY KEY (label, name)) WITHOUT ROWID;
CREATE TABLE counts (
    run INTEGER, what TEXT, name TEXT, n INTEGER NOT NULL, PRIMARY KEY (run, what, name)
) WITHOUT ROWID;
"""
TEMPORARY = "CREATE TEMPORARY TABLE seen (id TEXT PRIMARY KEY, place TEXT NOT NULL) WITHOUT ROWID"


class CheckpointError(CommuniqueError):
    """Raised where progress can't be kept: another run has the output, the disk is full, the file is none of ours."""


@dataclass(frozen=True)
class Known:
    """What was made of a release before. model: the number of what has read it. failure: code and message."""

    model: int
    facts: int
    failure: Optional[Tuple[str, str]] = None


def content_hash(release: Release) -> bytes:
    """Of all that a release brings with it: where it is the same, nothing has to be annotated anew."""
    data = [release.id, release.text, release.title, release.date, release.source, release.meta]
    return hashlib.blake2b(json.dumps(data, sort_keys=True).encode(), digest_size=16).digest()


class Checkpoint:
    """The progress of an output. path: of its file; None keeps what a run needs for itself in a temporary one.

    A context manager. Raises CheckpointError where another run has it open, or it can't be written.
    """

    def __init__(self, path: Optional[Path]) -> None:
        self.path = path
        self.run = 0
        self.model = 0
        self._dirty: Optional[bool] = None

    def __enter__(self) -> "Checkpoint":
        with self._told():
            self._database = sqlite3.connect(str(self.path or ""), isolation_level=None, timeout=0)
        try:
            self._open()
        except BaseException:
            self._database.close()
            raise
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *error: object) -> None:
        try:
            if kind is None or not issubclass(kind, CheckpointError):
                self.commit()
                if self.path is not None and not self._worth_keeping():
                    # before it is closed, since then they may be another run's
                    self.path.with_name(self.path.name + "-wal").unlink(missing_ok=True)
                    self.path.unlink(missing_ok=True)
        finally:
            self._database.close()

    def _worth_keeping(self) -> bool:
        return self[WRITTEN] is not None or self._one("SELECT 1 FROM releases UNION SELECT 1 FROM failed") is not None

    def _open(self) -> None:
        # the lock is kept from here to the end
        self._execute("PRAGMA locking_mode = EXCLUSIVE")
        if self._one("PRAGMA user_version")[0] not in (0, VERSION):
            raise CheckpointError(f"{self.path}: it was written by another version of Communique: move it away")
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("PRAGMA synchronous = FULL")
        self._execute(TEMPORARY)
        self._execute("BEGIN EXCLUSIVE")
        if not self._one("PRAGMA user_version")[0]:
            for statement in SCHEMA.split(";"):
                self._execute(statement)
            self._execute(f"PRAGMA user_version = {VERSION}")
            self[RUN] = 1
        self.run = self[RUN]
        self.commit()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as err:
            if "locked" in str(err):
                raise CheckpointError(f"{self.path}: another run writes this output: wait for its end") from err
            if isinstance(err, sqlite3.OperationalError):
                message = f"{self.path}: the progress can't be kept: {err}: make room or mend it, and run again"
                raise CheckpointError(message) from err
            raise CheckpointError(f"{self.path}: no progress file ({err}): move it away") from err

    def _execute(self, statement: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        with self._told():
            return self._database.execute(statement, tuple(values))

    def _one(self, statement: str, *values: Any) -> Any:
        return self._execute(statement, values).fetchone()

    # what is known of the whole

    def __getitem__(self, name: str) -> Any:
        found = self._one("SELECT value FROM notes WHERE name = ?", name)
        return None if found is None else json.loads(found[0])

    def __setitem__(self, name: str, value: Any) -> None:
        self._execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, json.dumps(value)))

    @property
    def dirty(self) -> bool:
        """Whether something was kept since the output was written."""
        return bool(self[DIRTY])

    @dirty.setter
    def dirty(self, value: bool) -> None:
        if self._dirty is not value:
            self[DIRTY] = self._dirty = value

    def commit(self) -> None:
        """Make all that was noted so far safe. Raises CheckpointError; then nothing since the last commit is kept."""
        with self._told():
            if self._database.in_transaction:
                self._database.execute("COMMIT")
            self._database.execute("BEGIN IMMEDIATE")

    def use_model(self, digest: str, name: str) -> None:
        """Note which model annotates from here on."""
        self._execute("INSERT OR IGNORE INTO models (digest, name) VALUES (?, ?)", (digest, name))
        (self.model,) = self._one("SELECT number FROM models WHERE digest = ?", digest)

    def other_models(self) -> List[Tuple[str, int]]:
        """(name, number of releases) of the other models that have annotated what is there."""
        return self._execute(
            "SELECT name, count(*) FROM releases JOIN models ON number = model WHERE model != ? GROUP BY model",
            [self.model],
        ).fetchall()

    def end_run(self) -> None:
        """What is annotated from here on is news of the next run."""
        self._execute("DELETE FROM counts WHERE run < ?", [self.run])
        self.run += 1
        self[RUN] = self.run
        self.commit()

    # releases

    def setdefault(self, id: str, place: str, /) -> str:
        """Where a release with this id was read first in this run: now, if it was not before."""
        self._execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (id, place))
        found: str = self._one("SELECT place FROM seen WHERE id = ?", id)[0]
        return found

    def known(self, release: Release) -> Optional[Known]:
        """What is known of a release as it is now; None where it is new or was changed."""
        key = (release.id, content_hash(release))
        found = self._one("SELECT model, code, message FROM failed WHERE id = ? AND hash = ?", *key)
        if found is not None:
            return Known(found[0], 0, (found[1], found[2]))
        found = self._one("SELECT model, facts FROM releases WHERE id = ? AND hash = ?", *key)
        return None if found is None else Known(*found)

    def line(self, id: str) -> bytes:
        """The annotated release of an id, as JSON."""
        return zlib.decompress(self._one("SELECT line FROM releases WHERE id = ?", id)[0])

    def keep(self, release: Release, line: bytes, facts: int) -> bool:
        """An annotated release, as JSON, and how many facts it has. It replaces what was there of its id, in its place.

        Returns whether something was.
        """
        there = self._one("SELECT 1 FROM releases WHERE id = ?", release.id) is not None
        hashed = content_hash(release)
        statement = (
            "INSERT INTO releases (id, hash, model, facts, line) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET hash = excluded.hash, model = excluded.model, facts = excluded.facts, line = excluded.line"
        )
        self._execute(statement, (release.id, hashed, self.model, facts, zlib.compress(line, 1)))
        self._execute("DELETE FROM failed WHERE id = ?", [release.id])
        self.dirty = True
        return there

    def fail(self, release: Release, defect: Defect) -> None:
        """A release that could not be annotated. What an earlier text of it, or another model, gave is kept."""
        values = (release.id, content_hash(release), self.model, defect.code, defect.message)
        self._execute("INSERT OR REPLACE INTO failed VALUES (?, ?, ?, ?, ?)", values)
        self._execute("UPDATE releases SET model = ? WHERE id = ?", (self.model, release.id))

    def retry(self) -> None:
        """Forget which releases could not be annotated, so that they are tried again."""
        # what another model gave of them is known no longer
        self._execute("UPDATE releases SET hash = x'' WHERE id IN (SELECT id FROM failed)")
        self._execute("DELETE FROM failed")

    def lines(self) -> Iterator[bytes]:
        """Annotated releases, in their order."""
        last = 0
        statement = "SELECT place, line FROM releases WHERE place > ? ORDER BY place LIMIT ?"
        # a query that is never finished would keep the file locked
        while found := self._execute(statement, (last, PAGE)).fetchall():
            for _, line in found:
                yield zlib.decompress(line)
            last = found[-1][0]

    def stale(self) -> Iterator[bytes]:
        """Releases that another model has annotated and that no input of this run had."""
        last = 0
        statement = (
            "SELECT place, line FROM releases WHERE place > ? AND model != ? AND id NOT IN (SELECT id FROM seen) "
            "ORDER BY place LIMIT 1"
        )
        while found := self._one(statement, last, self.model):
            last = found[0]
            yield zlib.decompress(found[1])

    # news

    def count(self, what: str, names: Mapping[str, int]) -> None:
        """Add to the counts of this run, which outlive an interruption."""
        statement = (
            "INSERT INTO counts VALUES (?, ?, ?, ?) ON CONFLICT (run, what, name) DO UPDATE SET n = n + excluded.n"
        )
        for name, n in names.items():
            self._execute(statement, (self.run, what, name, n))

    def counted(self, what: str) -> "Counter[str]":
        found = self._execute("SELECT name, n FROM counts WHERE run = ? AND what = ?", (self.run, what))
        return Counter(dict(found.fetchall()))

    def meet(self, label: str, name: str) -> None:
        """A name that a release has: it is new where no earlier one had it."""
        self._execute("INSERT OR IGNORE INTO names VALUES (?, ?, ?)", (label, name, self.run))

    def new_names(self, label: str, most: int) -> Tuple[int, List[str]]:
        """How many names of a label this run has met first, and some of them."""
        (count,) = self._one("SELECT count(*) FROM names WHERE run = ? AND label = ?", self.run, label)
        statement = "SELECT name FROM names WHERE run = ? AND label = ? ORDER BY name LIMIT ?"
        return count, [name for (name,) in self._execute(statement, (self.run, label, most))]

    def __len__(self) -> int:
        count: int = self._one("SELECT count(*) FROM releases")[0]
        return count
