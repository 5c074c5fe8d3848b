"""Which queues' next jobs have room. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sihl_operator.capacity import TO_COME, Demand, Room, could_hold, shortage
from sihl_operator.settings import Settings
from sihl_operator.views import JobView

_SETTING = "the chart's operator.settings.autoscalerMaxGpus"
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
        else:
            verdicts.append(Verdict(job, False, *_why(wanted, room, settings)))
            if now - job.created >= settings.reserve_after:
                room.reserve(wanted)
    return verdicts


def _why(wanted: Demand, room: Room, settings: Settings) -> tuple[str, str]:
    """Reason and message of why a demand has no room."""
    nodes, name = room.nodes.values(), settings.gpu_resource
    holding, limit = could_hold(nodes, wanted), settings.autoscaler_max_gpus
    asked = wanted.requests.get(name, Decimal(0))
    most = f"nodes are added for at most {limit} {name} in all ({_SETTING})"
    if not holding and not 0 < asked <= limit:
        text = shortage(nodes, wanted)
        if asked and limit:
            text += f"; {most}: raise it if the autoscaler can add more"
        return "NoNodeFits", text
    lacking = room.lacking(holding, wanted)
    if holding and not lacking:
        many = "1 node could hold the job but takes"
        if len(holding) > 1:
            many = f"{len(holding)} nodes could hold the job but take"
        state = "cordoned, not ready or under pressure"
        text = f"{many} no pods now ({state}): the job starts when that is over."
        return "NodesUnavailable", text
    short = set.intersection(*lacking) if lacking else {name}
    reason = "WaitingForGPUs" if name in short else "WaitingForRoom"
    what = ", ".join(sorted(short)) or f"{' and '.join(sorted(set.union(*lacking)))} together"
    what += f", and {most}" if asked and limit else ""
    return reason, f"No node has enough free {what}: the job starts when one has."


def _autoscaled(wanted: Demand, room: Room, settings: Settings) -> bool:
    """Whether an autoscaler may add a node for the demand, within the configured maximum."""
    limit, name = settings.autoscaler_max_gpus, settings.gpu_resource
    asked = wanted.requests.get(name, Decimal(0))
    if not limit or not asked or _taken(room.used, name) + asked > limit:
        return False
    room.take(TO_COME, wanted.requests)
    return True


def _taken(used: Mapping[str, Mapping[str, Decimal]], name: str) -> Decimal:
    return sum((node.get(name, Decimal(0)) for node in used.values()), Decimal(0))
