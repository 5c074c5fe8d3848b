"""Leader election by a Lease. It only saves work: nothing's safety rests on it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sihl_api.times import rfc3339
from sihl_operator.kube import ApiError, ConflictError, KubeApi, NotFoundError, UnavailableError
from sihl_operator.settings import Settings

log = logging.getLogger(__name__)

_BELIEVED_SECONDS = 600.0
"""A silent holder is believed for so long at most: an edited Lease may say that it lasts years."""
_MOST_TRANSITIONS = 2**31 - 1
"""What the API server takes; an edited Lease may say so many already."""


class Leader:
    """Holds the Lease, or waits for it.

    Args:
        api: For the Lease.
        settings: Its name, and the durations.
        monotonic: Seconds that only grow: how long a holder has been silent is measured here,
            because clocks of different machines differ.
    """

    def __init__(self, api: KubeApi, settings: Settings, monotonic: Callable[[], float]) -> None:
        self.lacking = ""
        """What the operator's role does not let it do with the Lease, if that is so."""
        self._holds = False
        self._beginning: asyncio.Task[None] | None = None
        self._begun = False
        self._api = api
        self._settings = settings
        self._monotonic = monotonic
        self._seen: tuple[dict[str, Any], float] = ({}, 0.0)  # the Lease's spec, and since when
        self._mine: dict[str, Any] | None = None  # the Lease as this replica wrote it last
        self._renewed = 0.0

    @property
    def leading(self) -> bool:
        """Whether all has begun, and no other replica can have taken over since."""
        return self._begun and self.holding

    @property
    def holding(self) -> bool:
        """Whether the Lease can be no other's; a process that slept too long knows it."""
        silent = self._monotonic() - self._renewed
        return self._holds and silent < self._settings.lease_duration

    async def run(self, began: Callable[[], Awaitable[None]]) -> None:
        """Try for ever.

        Args:
            began: Run whenever this replica has got the Lease, which is renewed meanwhile. This
                replica leads once it is done; it is cancelled if the Lease is lost before.
        """
        try:
            while True:
                asked = self._monotonic()
                try:
                    self._holds = await self._try()
                    self.lacking = ""
                except ApiError as error:
                    self.lacking = str(error) if error.status == 403 else ""
                    log.warning("the lease could not be renewed: %s", error)
                if not self.holding:
                    self._end()
                elif self._beginning is None:
                    self._beginning = asyncio.create_task(self._begin(began))
                elif self._beginning.done():
                    self._beginning.result()  # what nobody foresaw ends this task too
                # Not from the answer: one that takes its time takes none of the lease's.
                await asyncio.sleep(asked + self._settings.lease_renewal - self._monotonic())
        finally:
            self._end()

    async def _begin(self, began: Callable[[], Awaitable[None]]) -> None:
        log.info("holding the lease")
        while not self._begun:
            try:
                await began()
                self._begun = True  # before anything else can run
            except ApiError as error:
                log.warning("could not begin to lead: %s", error)
                await asyncio.sleep(self._settings.lease_renewal)
        log.info("leading as %s", self._settings.identity)

    def _end(self) -> None:
        if self._beginning is None:
            return
        self._beginning.cancel()
        self._beginning, self._begun = None, False
        log.warning("not holding the lease any more")

    async def release(self) -> None:
        """Let another replica lead at once."""
        if not self._holds:
            return
        self._holds = False
        self._end()
        try:
            lease = await self._get()
            if lease and lease["spec"].get("holderIdentity") == self._settings.identity:
                lease["spec"]["holderIdentity"] = ""
                await self._put("update", lease)
        except ApiError as error:
            log.warning("the lease could not be released: %s", error)

    async def _try(self) -> bool:
        """Whether this replica holds the Lease now."""
        if self._mine is not None:
            known, self._mine = self._mine, None
            try:
                await self._take(known)
            except (ConflictError, NotFoundError):  # another has written or deleted it since
                pass
            else:
                return True
        lease = await self._get()
        if lease is None:
            await self._put("create", self._fresh())
            return True
        if self._anothers(lease):
            return False
        await self._take(lease)
        return True

    def _anothers(self, lease: dict[str, Any]) -> bool:
        """Whether another replica holds a Lease and has not been silent for too long.

        As client-go has it: silent since its spec was seen to change, whatever time that tells
        and whoever touched the rest; for as long as the holder itself said, within reason.
        """
        spec = lease["spec"]
        if spec != self._seen[0]:
            self._seen = (spec, self._monotonic())
        silent = self._monotonic() - self._seen[1]
        others = (spec.get("holderIdentity") or "") not in ("", self._settings.identity)
        stated = min(float(spec.get("leaseDurationSeconds") or 0), _BELIEVED_SECONDS)
        return others and silent < max(stated, self._settings.lease_duration)

    async def _take(self, lease: dict[str, Any]) -> None:
        """Write one's name into a Lease, or the time into one's own."""
        spec = dict(lease["spec"])
        if spec.get("holderIdentity") != self._settings.identity:
            taken = int(spec.get("leaseTransitions") or 0)
            spec["leaseTransitions"] = min(taken + 1, _MOST_TRANSITIONS)
            spec["acquireTime"] = _now()
        spec |= {
            "holderIdentity": self._settings.identity,
            "leaseDurationSeconds": int(self._settings.lease_duration),
            "renewTime": _now(),
        }
        # The resourceVersion goes along: of two replicas that try, one is refused.
        await self._put("update", {**lease, "spec": spec})

    async def _get(self) -> dict[str, Any] | None:
        try:
            return await self._asked("get")
        except NotFoundError:
            return None

    async def _put(self, verb: str, lease: dict[str, Any]) -> None:
        asked = self._monotonic()  # others count from when they see it, which is never earlier
        self._mine = await self._asked(verb, lease)
        if not self.holding:  # by now another may have led and let go: all begins anew
            self._end()
        self._renewed = asked

    async def _asked(self, verb: str, lease: dict[str, Any] | None = None) -> dict[str, Any]:
        """An answer within half the time that the Lease lasts: one that is lost leaves another."""
        where = self._settings.lease_namespace, self._settings.lease_name
        limit = self._settings.lease_duration / 2
        try:
            async with asyncio.timeout(limit):
                return await self._api.lease(verb, *where, lease)
        except TimeoutError:
            raise UnavailableError(0, "Timeout", f"no answer within {limit:.1f} s") from None

    def _fresh(self) -> dict[str, Any]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._settings.lease_name,
                "namespace": self._settings.lease_namespace,
            },
            "spec": {
                "holderIdentity": self._settings.identity,
                "leaseDurationSeconds": int(self._settings.lease_duration),
                "acquireTime": _now(),
                "renewTime": _now(),
                "leaseTransitions": 0,
            },
        }


def _now() -> str:
    return rfc3339(time.time(), "microseconds")
