"""Which queues' next jobs have room. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    kept = Decimal(0)  # of the autoscaler's maximum, for who waited long and needs a node to come
    for job in sorted(heads, key=lambda job: (-job.priority, job.created, job.key)):
        wanted = demand(job)
        asked = _asked(wanted, settings)
        if asked and kept and not _within(kept + asked, room, settings):
            verdicts.append(Verdict(job, False, *_overtaking(kept, settings)))
        elif room.place(wanted) is not None or _autoscaled(wanted, room, settings):
            verdicts.append(Verdict(job, True))
        else:
            verdicts.append(Verdict(job, False, *_why(wanted, room, settings)))
            waited = now - job.created >= settings.reserve_after
            # Who has to wait for other people's pods may wait for ever: nobody waits with it.
            if waited and not room.reserve(wanted) and asked:
                possible = room.others + asked <= settings.autoscaler_max_gpus
                kept += asked if possible else 0
    return verdicts


def _overtaking(kept: Decimal, settings: Settings) -> tuple[str, str]:
    """Reason and message of why a demand that has room is kept waiting."""
    limit, name = settings.autoscaler_max_gpus, settings.gpu_resource
    return "WaitingForGPUs", (
        f"An earlier job waits for {kept} of the {limit} {name} that nodes are added for "
        f"({_SETTING}): the job starts when there is room for both."
    )


def _why(wanted: Demand, room: Room, settings: Settings) -> tuple[str, str]:
    """Reason and message of why a demand has no room."""
    nodes, name = room.nodes.values(), settings.gpu_resource
    holding, limit = could_hold(nodes, wanted), settings.autoscaler_max_gpus
    asked = _asked(wanted, settings)
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
    asked = _asked(wanted, settings)
    if not asked or not _within(asked, room, settings):
        return False
    room.take(TO_COME, wanted.requests)
    return True


def _within(asked: Decimal, room: Room, settings: Settings) -> bool:
    """Whether all GPUs together, these among them, are no more than the autoscaler may add."""
    taken = (node.get(settings.gpu_resource, Decimal(0)) for node in room.used.values())
    return sum(taken, asked) <= settings.autoscaler_max_gpus


def _asked(wanted: Demand, settings: Settings) -> Decimal:
    """GPUs that a demand needs."""
    return wanted.requests.get(settings.gpu_resource, Decimal(0))
