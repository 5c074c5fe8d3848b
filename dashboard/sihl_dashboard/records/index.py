"""What is known of many jobs: the rows of a database that can be thrown away."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import orjson

from sihl_dashboard.records.database import Database
from sihl_dashboard.records.errors import Trouble
from sihl_dashboard.records.facts import Fact, Facts
from sihl_dashboard.records.query import Query, column_path, is_column, ordering, where
from sihl_dashboard.records.refs import JobRef

T = TypeVar("T")


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
        facts: None at all where the folder is empty: that is no job.
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
        self._known: dict[tuple[str, str], dict[str, Known]] = {}  # what recurs of the jobs' table
        self._db = Database(scratch / name if scratch else None, self._known.clear)
        self._lock = self._db.lock

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def known(self, namespace: str, project: str) -> dict[str, Known]:
        """What was looked at, by the jobs' folders."""
        with self._lock:
            return dict(self._looked_at(namespace, project))

    def is_final(self, ref: JobRef) -> bool:
        """Whether a job was looked at, and nothing of it will change any more."""
        with self._lock:
            known = self._looked_at(ref.namespace, ref.project).get(ref.folder)
            return known is not None and known.final

    def put(self, entries: Iterable[Entry]) -> None:
        """Keep jobs, in the place of what was known of them."""
        found = list(entries)

        def write(db: sqlite3.Connection) -> None:
            for entry in found:
                key = (entry.ref.namespace, entry.ref.project, entry.ref.folder)
                facts = _json(entry.facts)
                troubles = _json([(each.where, each.what) for each in entry.troubles])
                db.execute(
                    "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*key, *astuple(entry.known), bool(entry.facts), troubles, facts),
                )
                db.execute(
                    "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?)",
                    (*key, entry.job, entry.summary),
                )
            self._note_columns(db, found)

        with self._lock:
            self._db.do(write)
            for entry in found:
                self._note(entry.ref, entry.known)

    def asked(self, refs: Iterable[JobRef], now: float) -> None:
        """Note that these were looked at, and nothing was new."""
        found = list(refs)
        keys = [(now, ref.namespace, ref.project, ref.folder) for ref in found]
        with self._lock:
            self._db.do(
                lambda db: db.executemany(
                    "UPDATE jobs SET asked = ? WHERE namespace = ? AND project = ? AND folder = ?",
                    keys,
                )
            )
            for ref in found:
                known = self._known.get((ref.namespace, ref.project), {}).get(ref.folder)
                self._note(ref, known and replace(known, asked=now))

    def remove(self, refs: Iterable[JobRef]) -> None:
        """Forget jobs."""
        found = list(refs)
        keys = [(ref.namespace, ref.project, ref.folder) for ref in found]

        def write(db: sqlite3.Connection) -> None:
            for table in ("jobs", "documents"):
                db.executemany(
                    f"DELETE FROM {table} WHERE namespace = ? AND project = ? AND folder = ?",  # noqa: S608
                    keys,
                )

        with self._lock:
            self._db.do(write)
            for ref in found:
                self._note(ref, None)

    def select(self, namespace: str, project: str, query: Query) -> tuple[list[Row], int]:
        """Jobs as a query wants them, and how many there are without its limit.

        Raises:
            QueryError: the query can be none.
        """
        columns = list(dict.fromkeys(query.columns))
        shown = ", facts -> ?" * len(columns)
        condition, values = where(query)
        order, by = ordering(query)
        scope = ["namespace = ? AND project = ? AND is_there", *condition]
        asked = [namespace, project, *values]
        rows = self._db.ask(
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
        total = self._db.ask(
            f"SELECT count(*) FROM jobs WHERE {' AND '.join(scope)}",  # noqa: S608
            tuple(asked),
        )[0][0]
        return found, int(total)

    def entry(self, ref: JobRef) -> Entry | None:
        """All that is kept of one job."""
        key = (ref.namespace, ref.project, ref.folder)
        rows = self._db.ask(
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
        rows = self._db.ask(
            "SELECT troubles FROM jobs WHERE namespace = ? AND project = ?"
            " AND troubles <> '[]' ORDER BY folder LIMIT 1000",
            (namespace, project),
        )
        return [Trouble(*each) for (text,) in rows for each in json.loads(text)]

    def columns(self, namespace: str, project: str) -> dict[str, bool]:
        """Paths that any of a project's jobs has, and whether those that have it ever differed."""
        rows = self._db.ask(
            "SELECT path, varies FROM columns WHERE namespace = ? AND project = ? ORDER BY path",
            (namespace, project),
        )
        return {path: bool(varies) for path, varies in rows}

    def _looked_at(self, namespace: str, project: str) -> dict[str, Known]:
        if (namespace, project) not in self._known:
            rows = self._db.ask(
                "SELECT folder, job_tag, summary_tag, final, changed, asked FROM jobs"
                " WHERE namespace = ? AND project = ?",
                (namespace, project),
            )
            self._known[namespace, project] = {
                folder: Known(job_tag, summary_tag, bool(final), changed, asked)
                for folder, job_tag, summary_tag, final, changed, asked in rows
            }
        return self._known[namespace, project]

    def _note(self, ref: JobRef, known: Known | None) -> None:
        """Keep in step with the table what was read of it."""
        project = self._known.get((ref.namespace, ref.project))
        if project is not None:
            project.pop(ref.folder, None)
            if known is not None:
                project[ref.folder] = known

    def _note_columns(self, db: sqlite3.Connection, entries: list[Entry]) -> None:
        for scope in {(entry.ref.namespace, entry.ref.project) for entry in entries}:
            rows = db.execute(
                "SELECT path, sample, varies FROM columns WHERE namespace = ? AND project = ?",
                scope,
            )
            known = {path: (json.loads(sample), bool(varies)) for path, sample, varies in rows}
            before = dict(known)
            for entry in entries:
                if (entry.ref.namespace, entry.ref.project) == scope:
                    _note(known, entry.facts)
            new = (
                (*scope, path, json.dumps(sample), varies)
                for path, (sample, varies) in known.items()
                if before.get(path) is not known[path]
            )
            db.executemany("INSERT OR REPLACE INTO columns VALUES (?, ?, ?, ?, ?)", new)


def _note(known: dict[str, tuple[Fact, bool]], facts: Mapping[str, Fact]) -> None:
    for path, fact in facts.items():
        if path not in known:
            if is_column(path):
                known[path] = (fact, False)
            continue
        sample, varies = known[path]
        if not varies and (fact != sample or type(fact) is not type(sample)):
            known[path] = (sample, True)


def _json(value: Any) -> str:
    """As SQLite takes it: a lone surrogate is no text."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()


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
