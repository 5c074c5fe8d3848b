"""The cluster is read from first to last, again and again, because a watch can lie."""

from __future__ import annotations

import asyncio
import logging
import math

from sihl_operator.kube import ApiError
from sihl_operator.leader import Leader
from sihl_operator.reflector import Reflector
from sihl_operator.refusals import lacking
from sihl_operator.rounds import Rounds

log = logging.getLogger(__name__)

_INTERVALS_UNREAD = 3
"""So many intervals between lists may pass without one."""
_SOON_SECONDS = 2.0
"""After which it is tried again where the cluster is not known."""


class Relist:
    """Makes a replica ready by a first list; later ones mend what a watch left out.

    Args:
        reflector: Reads.
        rounds: Told where the operator's role does not let it read.
        leader: Knows whether it is this replica's to tell so.
        interval: Seconds between two lists.
    """

    def __init__(
        self, reflector: Reflector, rounds: Rounds, leader: Leader, interval: float
    ) -> None:
        self._reflector = reflector
        self._rounds = rounds
        self._leader = leader
        self._interval = interval
        self._trouble = ""
        """Why the last list failed, if it did."""

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self._reflector.relist()
                self._trouble = ""
            except ApiError as error:
                self._trouble = f": {error}"
                log.warning("listing failed: %s", error)
                await self._tell_blind(error)
            except Exception:  # else nothing would be mended any more
                log.exception("listing failed")
            await asyncio.sleep(_SOON_SECONDS if self.unread() else self._interval)

    def unread(self) -> str | None:
        """Why this replica does not know the cluster, or None: watches alone could be lying."""
        age = self._reflector.age
        if age < _INTERVALS_UNREAD * self._interval:
            return None
        since = "yet" if age == math.inf else f"for {age:.0f} s"
        return f"the cluster has not been read {since}{self._trouble}"

    async def _tell_blind(self, error: ApiError) -> None:
        """Who waits is told by whoever holds the lease, which cannot lead without a list."""
        end = lacking(error.status, error.message)
        if end is not None and self._leader.holding:
            try:
                await self._rounds.tell_blind(end)
            except ApiError as another:
                log.warning("nor can it be told: %s", another)
