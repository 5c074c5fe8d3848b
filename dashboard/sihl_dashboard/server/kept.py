"""What was asked lately: a bounded memory of answers, each for as long as it is good."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Answers by question; two who ask the same at once wait for one answer.

    Args:
        seconds: For how long an answer is good.
        most: How many are kept; the oldest go first.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        seconds: Callable[[V], float],
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._found: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._under_way: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._found)

    async def get(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        """The answer; what `ask` raises is kept by nobody."""
        until, value = self._found.get(key, (0.0, None))
        if value is not None and self._clock() < until:
            return value
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.ensure_future(ask())
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._keep(key, done))
        return await asyncio.shield(task)

    def _keep(self, key: K, done: asyncio.Task[V]) -> None:
        self._under_way.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            return
        self._found.pop(key, None)
        self._found[key] = (self._clock() + self._seconds(done.result()), done.result())
        while len(self._found) > self._most:
            self._found.popitem(last=False)
