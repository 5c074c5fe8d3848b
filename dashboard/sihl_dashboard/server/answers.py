"""Answers that several people get: made once for a version of what they tell, kept while new.

Two who ask the same at the same time wait for one answer. It is kept with its hash, by which a
browser asks again (`If-None-Match`), and compressed once.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson
from aiohttp import web

Key = tuple[str, ...]
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_DEEPEST = 100
_SMALL = 1000
_FIRST_LEVEL = 1
_FINAL_AGE = 600.0
"""Seconds: what never changes may still be deleted."""


@dataclass(frozen=True)
class Answer:
    """A body, ready to be sent.

    Attributes:
        version: Of what it tells; None if nobody knows.
        made: When, by the process's own clock.
        is_final: Whether nothing of what it tells will change any more.
    """

    body: bytes
    packed: bytes | None
    tag: str
    kind: str
    version: str | None
    made: float
    is_final: bool = False


def encoded(document: Any) -> bytes:
    """JSON; NaN and the infinities are null, arrays are lists."""
    try:
        return orjson.dumps(document, option=_OPTIONS)
    except (TypeError, RecursionError):  # what a stranger wrote may be none
        return orjson.dumps(_plain(document, 0), option=_OPTIONS)


def _plain(value: Any, depth: int) -> Any:
    """The same without what JSON has not: lone surrogates, huge numbers, endless nesting."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)[:100] if abs(value) < 10**100 else "out of range"
    if isinstance(value, dict | list | tuple) and depth >= _DEEPEST:
        return "..."
    if isinstance(value, dict):
        return {_plain(str(k), depth): _plain(each, depth + 1) for k, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, depth + 1) for each in value]
    return value


def answer_of(body: bytes, kind: str = "application/json", version: str | None = None) -> Answer:
    """A body with its hash, compressed if that is worth it."""
    packed = None
    if len(body) > _SMALL and not kind.startswith("image/"):
        squeeze = zlib.compressobj(_FIRST_LEVEL, wbits=31)
        packed = squeeze.compress(body) + squeeze.flush()
    tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    return Answer(body, packed, tag, kind, version, time.monotonic())


class Answers:
    """The answers that were given last.

    Args:
        limit: Bytes that they may take together.
    """

    def __init__(self, limit: int = 64 << 20) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[Key, Answer] = OrderedDict()
        self._under_way: dict[tuple[Key, str | None], asyncio.Task[Answer]] = {}

    async def get(
        self,
        key: Key,
        version: str | None,
        make: Callable[[], Awaitable[Answer]],
        max_age: float = 1.0,
    ) -> Answer:
        """The answer to a question.

        Args:
            key: The question.
            version: Of what it asks about; None if nobody knows it now.
            make: Answers it.
            max_age: Seconds for which an answer will do while nobody knows a version.
        """
        kept = self._kept.get(key)
        if kept is not None and self._will_do(kept, version, max_age):
            self._kept.move_to_end(key)
            return kept
        task = self._under_way.get((key, version))
        if task is None:
            task = asyncio.ensure_future(make())
            self._under_way[key, version] = task
            task.add_done_callback(lambda done: self._keep(key, version, done))
        # Who leaves does not take the answer from those who wait with him.
        return await asyncio.shield(task)

    def last(self, key: Key) -> Answer | None:
        """What was answered last, however long ago; None if that is not kept."""
        return self._kept.get(key)

    @staticmethod
    def _will_do(kept: Answer, version: str | None, max_age: float) -> bool:
        age = time.monotonic() - kept.made
        if kept.is_final and age < _FINAL_AGE:
            return True
        return kept.version == version if version is not None else age < max_age

    def _keep(self, key: Key, version: str | None, done: asyncio.Task[Answer]) -> None:
        self._under_way.pop((key, version), None)
        if done.cancelled() or done.exception() is not None:
            return
        self._forget(key)
        self._kept[key] = done.result()
        self._size += _size(key, done.result())
        while self._size > self._limit:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: Key) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._size -= _size(key, gone)


def _size(key: Key, answer: Answer) -> int:
    """What both take of memory."""
    return len(answer.body) + len(answer.packed or b"") + sum(map(len, key)) + 500


def response(request: web.Request, answer: Answer) -> web.Response:
    """The answer as this request wants it: not at all if it has it, compressed if it takes that."""
    headers = {"ETag": answer.tag, "Vary": "Accept-Encoding, Authorization, Cookie"}
    known = [tag.strip().removeprefix("W/") for tag in
             request.headers.get("If-None-Match", "").split(",")]  # fmt: skip
    if answer.tag in known:
        return web.Response(status=304, headers=headers)
    body = answer.body
    if answer.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = answer.packed
    headers["Content-Type"] = answer.kind
    return web.Response(body=body, headers=headers)
