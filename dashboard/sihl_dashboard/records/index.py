"""What is known of many jobs, in SQLite: disposable, since all of it stands in the records.

A file of another release, or a broken one, is made anew. Where none can be kept, as on a full or a
read-only disk, the index lies in memory.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from sihl_dashboard.records.errors import Trouble
from sihl_dashboard.records.facts import Fact, Facts
from sihl_dashboard.records.query import Query, column_path, is_column, ordering, where
from sihl_dashboard.records.refs import JobRef

T = TypeVar("T")

VERSION = 1
_TABLES = """
CREATE TABLE jobs (
    namespace TEXT, project TEXT, folder TEXT,
    job_tag TEXT, summary_tag TEXT, final INTEGER, changed REAL, asked REAL, facts TEXT,
    PRIMARY KEY (namespace, project, folder));
CREATE TABLE documents (
    namespace TEXT, project TEXT, folder TEXT, job BLOB, summary BLOB, troubles TEXT,
    PRIMARY KEY (namespace, project, folder));
CREATE TABLE columns (
    namespace TEXT, project TEXT, path TEXT, sample TEXT, varies INTEGER,
    PRIMARY KEY (namespace, project, path));
"""


@dataclass(frozen=True)
class Known:
    """When a job was looked at, and what it was then.

    Attributes:
        job_tag: Of its job.json; "" where there was none.
        summary_tag: Of its summary.json; "" where there was none.
        final: Whether nothing will change any more.
        changed: When something was new, in this machine's seconds.
        asked: When the store was asked.
    """

    job_tag: str
    summary_tag: str
    final: bool
    changed: float
    asked: float


@dataclass(frozen=True)
class Entry:
    """A job as it is kept.

    Attributes:
        job: job.json as it stands; None where there is none.
        summary: summary.json, or what is known in its place.
    """

    ref: JobRef
    known: Known
    facts: Facts
    job: bytes | None
    summary: bytes | None
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True)
class Row:
    """A job of a list, with the columns that were asked for; None where it has none."""

    ref: JobRef
    values: dict[str, Fact]


class Index:
    """Thread-safe.

    Args:
        scratch: A folder for the file; None keeps everything in memory.
        place: The store's name: each has its own file.
    """

    def __init__(self, scratch: Path | None, place: str) -> None:
        name = f"records-{sha256(place.encode(errors='replace')).hexdigest()[:16]}.sqlite"
        self._file = scratch / name if scratch else None
        self._lock = threading.RLock()
        self._db = self._opened()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def known(self, namespace: str, project: str) -> dict[str, Known]:
        """What was looked at, by the jobs' folders."""
        rows = self._ask(
            "SELECT folder, job_tag, summary_tag, final, changed, asked FROM jobs"
            " WHERE namespace = ? AND project = ?",
            (namespace, project),
        )
        return {
            folder: Known(job_tag, summary_tag, bool(final), changed, asked)
            for folder, job_tag, summary_tag, final, changed, asked in rows
        }

    def put(self, entries: Iterable[Entry]) -> None:
        """Keep jobs, in the place of what was known of them."""
        found = list(entries)

        def write(db: sqlite3.Connection) -> None:
            for entry in found:
                key = (entry.ref.namespace, entry.ref.project, entry.ref.folder)
                at, facts = entry.known, _text(json.dumps(entry.facts, ensure_ascii=False))
                db.execute(
                    "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*key, at.job_tag, at.summary_tag, at.final, at.changed, at.asked, facts),
                )
                troubles = _text(json.dumps([(each.where, each.what) for each in entry.troubles]))
                db.execute(
                    "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?, ?)",
                    (*key, entry.job, entry.summary, troubles),
                )
            self._note_columns(db, found)

        self._do(write)

    def asked(self, refs: Iterable[JobRef], now: float) -> None:
        """Note that these were looked at, and nothing was new."""
        keys = [(now, ref.namespace, ref.project, ref.folder) for ref in refs]
        self._do(
            lambda db: db.executemany(
                "UPDATE jobs SET asked = ? WHERE namespace = ? AND project = ? AND folder = ?", keys
            )
        )

    def remove(self, refs: Iterable[JobRef]) -> None:
        """Forget jobs."""
        keys = [(ref.namespace, ref.project, ref.folder) for ref in refs]

        def write(db: sqlite3.Connection) -> None:
            for table in ("jobs", "documents"):
                db.executemany(
                    f"DELETE FROM {table} WHERE namespace = ? AND project = ? AND folder = ?",  # noqa: S608
                    keys,
                )

        self._do(write)

    def select(self, namespace: str, project: str, query: Query) -> tuple[list[Row], int]:
        """Jobs as a query wants them, and how many there are without its limit.

        Raises:
            QueryError: the query can be none.
        """
        columns = list(dict.fromkeys(query.columns))
        shown = ", facts -> ?" * len(columns)
        condition, values = where(query)
        order, by = ordering(query)
        scope = ["namespace = ? AND project = ? AND facts <> '{}'", *condition]
        asked = [namespace, project, *values]
        rows = self._ask(
            f"SELECT folder{shown} FROM jobs WHERE {' AND '.join(scope)} {order}",  # noqa: S608
            (*map(column_path, columns), *asked, *by, query.limit, query.offset),
        )
        found = [
            Row(
                JobRef(namespace, project, folder),
                {
                    column: None if text is None else json.loads(text)
                    for column, text in zip(columns, texts, strict=True)
                },
            )
            for folder, *texts in rows
        ]
        total = self._ask(
            f"SELECT count(*) FROM jobs WHERE {' AND '.join(scope)}",  # noqa: S608
            tuple(asked),
        )[0][0]
        return found, int(total)

    def entry(self, ref: JobRef) -> Entry | None:
        """All that is kept of one job."""
        key = (ref.namespace, ref.project, ref.folder)
        rows = self._ask(
            "SELECT job_tag, summary_tag, final, changed, asked, facts, job, summary, troubles"
            " FROM jobs JOIN documents USING (namespace, project, folder)"
            " WHERE namespace = ? AND project = ? AND folder = ?",
            key,
        )
        for job_tag, summary_tag, final, changed, asked, facts, job, summary, troubles in rows:
            return Entry(
                ref,
                Known(job_tag, summary_tag, bool(final), changed, asked),
                json.loads(facts),
                job,
                summary,
                tuple(Trouble(*each) for each in json.loads(troubles)),
            )
        return None

    def troubles(self, namespace: str, project: str) -> list[Trouble]:
        """What could not be read of a project's jobs."""
        rows = self._ask(
            "SELECT troubles FROM documents WHERE namespace = ? AND project = ?"
            " AND troubles <> '[]' ORDER BY folder LIMIT 1000",
            (namespace, project),
        )
        return [Trouble(*each) for (text,) in rows for each in json.loads(text)]

    def columns(self, namespace: str, project: str) -> dict[str, bool]:
        """Paths that a project's jobs have, and whether they have ever differed there."""
        rows = self._ask(
            "SELECT path, varies FROM columns WHERE namespace = ? AND project = ? ORDER BY path",
            (namespace, project),
        )
        return {path: bool(varies) for path, varies in rows}

    def _note_columns(self, db: sqlite3.Connection, entries: list[Entry]) -> None:
        for scope in {(entry.ref.namespace, entry.ref.project) for entry in entries}:
            rows = db.execute(
                "SELECT path, sample, varies FROM columns WHERE namespace = ? AND project = ?",
                scope,
            )
            known = {path: (sample, bool(varies)) for path, sample, varies in rows}
            before = dict(known)
            for entry in entries:
                if (entry.ref.namespace, entry.ref.project) == scope:
                    _note(known, entry.facts)
            new = (
                (*scope, path, *known[path]) for path in known if known[path] != before.get(path)
            )
            db.executemany("INSERT OR REPLACE INTO columns VALUES (?, ?, ?, ?, ?)", new)

    def _ask(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        return self._do(lambda db: db.execute(statement, values).fetchall())

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Within a transaction; a file that has broken meanwhile is made anew, once."""
        with self._lock:
            try:
                with self._db:
                    return work(self._db)
            except sqlite3.OperationalError as error:
                if "full" not in str(error) and "I/O" not in str(error):
                    raise
                self._db, self._file = self._in_memory(), None
            except sqlite3.DatabaseError:
                self._db.close()
                self._remove()
                self._db = self._opened()
            with self._db:
                return work(self._db)

    def _opened(self) -> sqlite3.Connection:
        for _ in range(2):
            if self._file is None:
                break
            try:
                return _open(self._file)
            except (sqlite3.DatabaseError, OSError):
                self._remove()
        return self._in_memory()

    def _in_memory(self) -> sqlite3.Connection:
        db = sqlite3.connect(":memory:", check_same_thread=False)
        db.executescript(_TABLES)
        return db

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{self._file}{suffix}").unlink()


def _open(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(file, timeout=30, check_same_thread=False)
    try:
        db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")  # what a power cut breaks is made anew
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError("of another release")
        if version == 0:
            db.executescript(f"BEGIN EXCLUSIVE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        db.execute("SELECT count(*) FROM jobs").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _note(known: dict[str, tuple[str, bool]], facts: Mapping[str, Fact]) -> None:
    for path, fact in facts.items():
        sample, varies = known.get(path, (None, False))
        if varies or not is_column(path):
            continue
        value = _text(json.dumps(fact))
        known[path] = (value, False) if sample in (None, value) else (str(sample), True)


def _text(text: str) -> str:
    """As SQLite takes it: a lone surrogate is no text."""
    return text.encode(errors="replace").decode()


def batches(entries: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many at a time, so that what is interrupted keeps what it has."""
    batch: list[T] = []
    for entry in entries:
        batch.append(entry)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
