"""Leader election by a Lease. It only saves work: nothing's safety rests on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from sihl_operator.kube import ApiError, KubeApi, NotFoundError
from sihl_operator.settings import Settings

log = logging.getLogger(__name__)


class Leader:
    """Holds the Lease, or waits for it.

    Args:
        api: For the Lease.
        settings: Its name, and the durations.
        monotonic: Seconds that only grow: how long a holder has been silent is measured here,
            because clocks of different machines differ.
    """

    def __init__(self, api: KubeApi, settings: Settings, monotonic: Callable[[], float]) -> None:
        self._holds = False
        self._api = api
        self._settings = settings
        self._monotonic = monotonic
        self._seen: tuple[str, float] = ("", 0.0)  # the Lease's last version, and since when
        self._renewed = 0.0

    @property
    def leading(self) -> bool:
        """Whether no other replica can have taken over; a process that slept too long knows it."""
        silent = self._monotonic() - self._renewed
        return self._holds and silent < self._settings.lease_duration

    async def run(self, began: Callable[[], Awaitable[None]]) -> None:
        """Try for ever; `began` is awaited whenever this replica becomes the leader."""
        while True:
            before = self.leading
            try:
                held = await self._try()
            except ApiError as error:
                log.warning("the lease could not be renewed: %s", error)
                held = self.leading
            self._holds = held
            if held and not before:
                log.info("leading as %s", self._settings.identity)
                try:
                    await began()
                except ApiError as error:
                    log.warning("could not begin to lead: %s", error)
                    self._holds = False
            elif before and not held:
                log.warning("not leading any more")
            await asyncio.sleep(self._settings.lease_renewal)

    async def release(self) -> None:
        """Let another replica lead at once."""
        if not self._holds:
            return
        self._holds = False
        try:
            lease = await self._get()
            if lease and lease["spec"].get("holderIdentity") == self._settings.identity:
                lease["spec"]["holderIdentity"] = ""
                await self._put("update", lease)
        except ApiError as error:
            log.warning("the lease could not be released: %s", error)

    async def _try(self) -> bool:
        """Whether this replica holds the Lease now."""
        lease = await self._get()
        if lease is None:
            await self._put("create", self._fresh())
            return True
        spec = lease["spec"]
        holder = spec.get("holderIdentity") or ""
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self._monotonic())
        silent = self._monotonic() - self._seen[1]
        if holder not in ("", self._settings.identity) and silent < self._settings.lease_duration:
            return False
        if holder != self._settings.identity:
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
            spec["acquireTime"] = _now()
        spec |= {"holderIdentity": self._settings.identity, "renewTime": _now()}
        # The resourceVersion goes along: of two replicas that try, one is refused.
        await self._put("update", lease)
        return True

    async def _get(self) -> dict[str, Any] | None:
        try:
            return await self._api.lease(
                "get", self._settings.lease_namespace, self._settings.lease_name
            )
        except NotFoundError:
            return None

    async def _put(self, verb: str, lease: dict[str, Any]) -> None:
        asked = self._monotonic()  # others count from when they see it, which is never earlier
        await self._api.lease(
            verb, self._settings.lease_namespace, self._settings.lease_name, lease
        )
        self._renewed = asked

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
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
