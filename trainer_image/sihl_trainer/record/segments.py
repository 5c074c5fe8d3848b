"""Segments of metrics and log in the store: read in order, and merged into sums."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Literal, TypeAlias, TypeVar

from pydantic import ValidationError

from sihl_api.record import MetricLine, RecordPaths, segments_of, to_read
from sihl_trainer.errors import Unavailable
from sihl_trainer.record.store import CHUNK_BYTES, MissingObjectError, Store, StoredObject

T = TypeVar("T")
Kind: TypeAlias = Literal["metrics", "log"]

SUM_BYTES = 64 << 20
"""A sum does not grow beyond this: the next one begins behind it."""
_AT_ONCE = 8
"""Requests side by side."""
_LISTINGS = 5


def listed(store: Store, paths: RecordPaths, attempt: int, kind: Kind) -> list[StoredObject]:
    """All segments and sums of an attempt, those that others cover too."""
    found = store.objects(f"{paths.attempt(attempt)}{kind}-")
    return [item for item in found if segments_of(item.key)]


def metric_lines(store: Store, paths: RecordPaths, attempt: int) -> Iterator[MetricLine]:
    """An attempt's lines of metrics, each once and in order.

    Raises:
        MissingObjectError: What was listed has been merged meanwhile: begin anew (see `settled`).
    """
    for key in to_read(item.key for item in listed(store, paths, attempt, "metrics")):
        yield from lines_in(store, key)


def lines_in(store: Store, key: str) -> Iterator[MetricLine]:
    """The lines of one segment or sum of metrics; what cannot be read is left out.

    Raises:
        MissingObjectError: There is no such object any more.
    """
    for line in text_lines(store.read(key)):
        with contextlib.suppress(ValidationError):
            yield MetricLine.model_validate_json(line)


def settled(read: Callable[[], T]) -> T:
    """What a reading gives that no merge disturbed: it is begun anew when an object is gone.

    Raises:
        Unavailable: It is disturbed again and again.
    """
    missing: MissingObjectError | None = None
    for _ in range(_LISTINGS):
        try:
            return read()
        except MissingObjectError as error:
            missing = error
    raise Unavailable("StoreUnavailable", f"{missing}, though it lists it: check the store")


def merge(
    store: Store,
    paths: RecordPaths,
    attempt: int,
    kind: Kind,
    folder: Path,
    most: int = SUM_BYTES,
) -> None:
    """Merge an attempt's segments into sums, and remove what these hold.

    It may be broken off at any moment: a sum stands whole before the first of its pieces goes, and
    what is left beside it is removed the next time.

    Args:
        store: Where the record lies.
        paths: The job's record.
        attempt: Whose segments.
        kind: Which of them.
        folder: On this machine, for a sum on its way.
        most: Bytes of a sum.

    Raises:
        TrainerError: The store does not allow it, or is away.
        MissingObjectError: Somebody else merges them.
        OSError: There is no room in the folder.
    """
    sizes = {item.key: item.bytes for item in listed(store, paths, attempt, kind)}
    chosen = to_read(sizes)
    with _side_by_side() as pool:
        _remove(store, sizes.keys() - set(chosen), pool)
        for group in _groups(chosen, sizes, most):
            first, last = _held(group[0])[0], _held(group[-1])[1]
            name = paths.metrics if kind == "metrics" else paths.log
            with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{kind}-") as file:
                _write(store, group, sizes, file, pool)
                store.upload(name(attempt, first, last), Path(file.name))
            _remove(store, group, pool)


def _groups(keys: Sequence[str], sizes: dict[str, int], most: int) -> Iterator[list[str]]:
    """What becomes one sum: several objects that follow each other, up to its size.

    No sum spans a number that is not there: if it came late it would be taken for a piece of it.
    """
    group: list[str] = []
    total = 0
    for key in keys:
        gap = group and _held(key)[0] != _held(group[-1])[1] + 1
        if gap or total + sizes[key] > most:
            if len(group) > 1:
                yield group
            group, total = [], 0
        group.append(key)
        total += sizes[key]
    if len(group) > 1:
        yield group


def _held(key: str) -> tuple[int, int]:
    found = segments_of(key)
    assert found is not None, "nothing else is listed"
    return found


def _write(
    store: Store,
    keys: Sequence[str],
    sizes: dict[str, int],
    file: IO[bytes],
    pool: ThreadPoolExecutor,
) -> None:
    """Write objects one after the other. Small ones are fetched side by side, a few at a time."""
    for at in range(0, len(keys), _AT_ONCE):
        some = keys[at : at + _AT_ONCE]
        small = [key for key in some if sizes[key] <= CHUNK_BYTES]
        fetched = dict(zip(small, pool.map(store.get, small), strict=True))
        for key in some:
            end = b"\n"
            for chunk in [fetched[key]] if key in fetched else store.read(key):
                file.write(chunk)
                end = chunk[-1:] or end
            if end != b"\n":  # torn off: the next line is not its continuation
                file.write(b"\n")
    file.flush()


def _remove(store: Store, keys: Iterable[str], pool: ThreadPoolExecutor) -> None:
    for _ in pool.map(store.delete, sorted(keys)):
        pass


@contextlib.contextmanager
def _side_by_side() -> Iterator[ThreadPoolExecutor]:
    """Threads that, once something failed, begin nothing more."""
    pool = ThreadPoolExecutor(_AT_ONCE, "merge")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def text_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a text that comes in pieces, also the last one if it has no end."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest
