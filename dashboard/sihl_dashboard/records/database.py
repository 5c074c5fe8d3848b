"""SQLite for what can be thrown away, since all of it stands in the records.

A file of another release, or a broken one, is made anew. Where none can be kept, as on a full or a
read-only disk, the tables lie in memory.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

VERSION = 1
_TABLES = """
CREATE TABLE jobs (
    namespace TEXT, project TEXT, folder TEXT,
    job_tag TEXT, summary_tag TEXT, final INTEGER, changed REAL, asked REAL,
    is_there INTEGER, troubles TEXT, facts TEXT,
    PRIMARY KEY (namespace, project, folder));
CREATE INDEX there ON jobs (namespace, project, is_there);
CREATE INDEX troubled ON jobs (namespace, project, folder) WHERE troubles <> '[]';
CREATE TABLE documents (
    namespace TEXT, project TEXT, folder TEXT, job BLOB, summary BLOB,
    PRIMARY KEY (namespace, project, folder));
CREATE TABLE columns (
    namespace TEXT, project TEXT, path TEXT, sample TEXT, varies INTEGER,
    PRIMARY KEY (namespace, project, path));
"""


class Database:
    """One connection, used by one thread at a time.

    Args:
        file: None keeps everything in memory.
        lost: Called when what was in it is gone, and the tables are empty again.
    """

    def __init__(self, file: Path | None, lost: Callable[[], None]) -> None:
        self.lock = threading.RLock()
        self._file = file
        self._lost = lost
        self._db = self._opened()

    def close(self) -> None:
        """Let go of the file."""
        with self.lock:
            self._db.close()

    def ask(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        """Rows."""
        return self.do(lambda db: db.execute(statement, values).fetchall())

    def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Work within a transaction; a file that has broken meanwhile is made anew, once."""
        with self.lock:
            try:
                with self._db:
                    return work(self._db)
            except sqlite3.OperationalError as error:
                if "full" not in str(error) and "I/O" not in str(error):
                    raise
                self._file = None
            except sqlite3.DatabaseError:
                pass
            self._db.close()
            self._remove()
            self._db = self._opened()
            self._lost()
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
        db = sqlite3.connect(":memory:", check_same_thread=False)
        db.executescript(_TABLES)
        return db

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm") if self._file else ():
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
