"""Which queues' next jobs have room. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sihl_operator.capacity import Demand, Room, could_hold, shortage
from sihl_operator.settings import Settings
from sihl_operator.views import JobView

POSITIONS = 10
"""So many of a queue have their position in their status; a metric has all."""


@dataclass(frozen=True)
class Verdict:
    """Whether a queue's head starts, or what it waits for."""

    job: JobView
    admitted: bool
    reason: str = ""
    message: str = ""


def admit(
    heads: Iterable[JobView],
    room: Room,
    demand: Callable[[JobView], Demand],
    now: float,
    settings: Settings,
) -> list[Verdict]:
    """Which of the free queues' heads start now; those who wait longest are asked first."""
    verdicts = []
    for job in sorted(heads, key=lambda job: (-job.priority, job.created, job.key)):
        wanted = demand(job)
        if room.place(wanted) is not None or _autoscaled(wanted, room, settings):
            verdicts.append(Verdict(job, True))
        elif not could_hold(room.nodes.values(), wanted) and not settings.autoscaler_max_gpus:
            text = shortage(room.nodes.values(), wanted)
            verdicts.append(Verdict(job, False, "NoNodeFits", text))
        else:
            if now - job.created >= settings.reserve_after:
                room.reserve(wanted)
            text = "No node has enough free GPUs, CPU and memory: the job starts when one does."
            verdicts.append(Verdict(job, False, "WaitingForGPUs", text))
    return verdicts


def _autoscaled(wanted: Demand, room: Room, settings: Settings) -> bool:
    """Whether an autoscaler may add a node for the demand, within the configured maximum."""
    limit, name = settings.autoscaler_max_gpus, settings.gpu_resource
    asked = wanted.requests.get(name, Decimal(0))
    if not limit or not asked or _taken(room.used, name) + asked > limit:
        return False
    room.take("(node to come)", wanted.requests)
    return True


def _taken(used: Mapping[str, Mapping[str, Decimal]], name: str) -> Decimal:
    return sum((node.get(name, Decimal(0)) for node in used.values()), Decimal(0))
