"""Keeps the world as the cluster is: lists each kind, then follows what changes.

The name is client-go's. A connection that is cut is taken up where it ended; only where the API
server has forgotten since (410), the kind is listed anew, and what is gone by then is lost.
Jobs are listed here, and followed by kopf.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from sihl_operator.kube import KINDS, Api, ApiError, GoneError
from sihl_operator.views import Raw
from sihl_operator.world import World

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class Reflector:
    """Lists and watches.

    Args:
        world: Told what is seen.
        api: The API server.
        wake: Called when something was.
    """

    def __init__(self, world: World, api: Api, wake: Callable[[], None]) -> None:
        self._world = world
        self._api = api
        self._wake = wake
        self._versions: dict[str, str] = {}
        """By kind, from where to watch: its newest list's version."""
        self._put_back = dict.fromkeys(KINDS, 0)
        """By kind, how often a list was older than the one before: the store was restored."""
        self._listing = asyncio.Lock()
        self._listed_at = float("-inf")

    @property
    def age(self) -> float:
        """Seconds since everything was read from first to last; infinite before the first time."""
        return asyncio.get_running_loop().time() - self._listed_at

    async def relist(self, unless_within: float = 0.0) -> None:
        """Read everything, because a watch can lie.

        Args:
            unless_within: Not if that was begun within so many seconds before it is asked for.

        Raises:
            ApiError: It cannot be read.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with self._listing:  # two at once could be told in the wrong order
            if asked - self._listed_at < unless_within:
                return
            began = loop.time()
            for kind in KINDS:
                await self._list(kind)
            self._listed_at = began

    async def reach(self, kind: str, version: int, before: int) -> None:
        """List a kind unless its newest list is of a version or later.

        Args:
            kind: Which.
            version: Of an answer of the API server just now.
            before: What `version` said when that was asked for: an answer is of an earlier one
                only where the store was put back since.

        Raises:
            ApiError: It cannot be listed.
        """
        async with self._listing:
            if not before <= version <= self.version(kind):
                await self._list(kind)

    def version(self, kind: str) -> int:
        """Of the newest list of a kind; 0 if there is none."""
        return int(self._versions.get(kind, 0))

    def put_back(self, kind: str) -> int:
        """How often the API server's store was seen to be put back: watches begin anew then."""
        return self._put_back[kind]

    def see(self, kind: str, event: str | None, raw: Raw) -> None:
        """An event of a watch: its type, which is None for an object that is listed."""
        self._world.saw(kind, raw, event == "DELETED")
        self._wake()

    async def follow(self, kind: str) -> None:
        """Tell the world of all changes of a kind, for ever."""
        version = void = ""
        put_back = 0

        def see(event: str, raw: dict[str, Any]) -> None:
            nonlocal version
            version = raw["metadata"]["resourceVersion"]
            if event != "BOOKMARK":
                self.see(kind, event, raw)

        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                if not version or put_back != self._put_back[kind]:
                    version = await self._since(kind, void)
                    put_back = self._put_back[kind]
                await self._api.watch(kind, version, see)
            except GoneError:
                version, void = "", self._versions[kind]
            except ApiError as error:
                log.warning("watching %ss: %s", kind, error)
            # One that lasted is taken up at once; one that ends as it begins must not spin.
            await asyncio.sleep(began + _RETRY_SECONDS - loop.time())

    async def _since(self, kind: str, void: str) -> str:
        """The version of the newest list of a kind, made now if there is none but a void one."""
        async with self._listing:
            if self._versions.get(kind, "") == void:
                await self._list(kind)
            return self._versions[kind]

    async def _list(self, kind: str) -> None:
        items, version = await self._api.list_all(kind)
        self._world.saw_all(kind, items, version)
        self._put_back[kind] += int(version) < self.version(kind)
        self._versions[kind] = version
        self._wake()
