"""Which queues' next jobs have room. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from sihl_operator.capacity import TO_COME, Demand, Room, could_hold, shortage
from sihl_operator.settings import Settings
from sihl_operator.views import JobView

_CPU = "cpu"
_NONE = Decimal(0)
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
    waited: Callable[[JobView], float],
    settings: Settings,
) -> list[Verdict]:
    """Which of the free queues' heads start now; those who came first are asked first.

    Args:
        heads: The next of each queue.
        room: What is free; what is given to a head is taken of it.
        demand: What a job asks for.
        waited: For how many seconds a job has been seen to wait.
        settings: The operator's.
    """
    verdicts = []
    kept = dict[str, Decimal]()  # of what nodes are added for, for who waited long for one to come
    for job in sorted(heads, key=lambda job: (-job.priority, job.created, job.key)):
        wanted = demand(job)
        grown = _grown(wanted, settings)
        before = kept.get(grown.name, _NONE)
        if grown.asked and before and not _within(grown, room, before):
            verdicts.append(Verdict(job, False, *_overtaking(grown, before, settings)))
        elif room.place(wanted) is not None or _autoscaled(wanted, grown, room):
            verdicts.append(Verdict(job, True))
        else:
            verdicts.append(Verdict(job, False, *_why(wanted, grown, room, settings)))
            long = waited(job) >= settings.reserve_after
            # Who has to wait for other people's pods may wait for ever: nobody waits with it.
            if long and not room.reserve(wanted):
                possible = room.others.get(grown.name, _NONE) + grown.asked <= grown.most
                kept[grown.name] = before + (grown.asked if possible else 0)
    return verdicts


@dataclass(frozen=True)
class _Grown:
    """What an autoscaler adds nodes for.

    Attributes:
        name: The resource: GPUs, or CPUs for who asks for no GPU.
        asked: How much of it a demand needs.
        most: How much of it all pods together may ask for; 0 where no nodes are added for it.
        setting: Who says so.
    """

    name: str
    asked: Decimal
    most: int
    setting: str

    @property
    def told(self) -> str:
        """For a person."""
        return f"nodes are added for at most {self.most} {self.name} in all ({self.setting})"


def _grown(wanted: Demand, settings: Settings) -> _Grown:
    chart = "the chart's operator.settings."
    gpus = wanted.requests.get(settings.gpu_resource, _NONE)
    if gpus:
        most, setting = settings.autoscaler_max_gpus, f"{chart}autoscalerMaxGpus"
        return _Grown(settings.gpu_resource, gpus, most, setting)
    most, setting = settings.autoscaler_max_cpus, f"{chart}autoscalerMaxCpus"
    return _Grown(_CPU, wanted.requests.get(_CPU, _NONE), most, setting)


def _reason(name: str, settings: Settings) -> str:
    return "WaitingForGPUs" if name == settings.gpu_resource else "WaitingForRoom"


def _overtaking(grown: _Grown, kept: Decimal, settings: Settings) -> tuple[str, str]:
    """Reason and message of why a demand that has room is kept waiting."""
    return _reason(grown.name, settings), (
        f"An earlier job waits for {kept} of the {grown.most} {grown.name} that nodes are added "
        f"for ({grown.setting}): the job starts when there is room for both."
    )


def _why(wanted: Demand, grown: _Grown, room: Room, settings: Settings) -> tuple[str, str]:
    """Reason and message of why a demand has no room."""
    nodes = room.nodes.values()
    holding = could_hold(nodes, wanted)
    if not holding and not 0 < grown.asked <= grown.most:
        return "NoNodeFits", shortage(nodes, wanted) + _not_grown(grown, settings)
    lacking = room.lacking(holding, wanted)
    if holding and not lacking:
        many = "1 node could hold the job but takes"
        if len(holding) > 1:
            many = f"{len(holding)} nodes could hold the job but take"
        state = "cordoned, not ready or under pressure"
        text = f"{many} no pods now ({state}): the job starts when that is over."
        return "NodesUnavailable", text
    short = set.intersection(*lacking) if lacking else {grown.name}
    name = settings.gpu_resource if settings.gpu_resource in short else _CPU
    what = ", ".join(sorted(short)) or f"{' and '.join(sorted(set.union(*lacking)))} together"
    what += f", and {grown.told}" if grown.most else ""
    text = f"No node has enough free {what}: the job starts when one has."
    return _reason(name, settings), text


def _not_grown(grown: _Grown, settings: Settings) -> str:
    """What an autoscaler would need to be told, where there is one."""
    if grown.most:
        return f"; {grown.told}: raise it if the autoscaler can add more"
    if grown.name == _CPU and settings.autoscaler_max_gpus:
        return (
            "; or, if the autoscaler can add nodes for jobs without GPUs, have "
            f"{grown.setting} say for how many CPUs"
        )
    return ""


def _autoscaled(wanted: Demand, grown: _Grown, room: Room) -> bool:
    """Whether an autoscaler may add a node for the demand, within the configured maximum."""
    if not grown.asked or not _within(grown, room):
        return False
    room.take(TO_COME, wanted.requests)
    return True


def _within(grown: _Grown, room: Room, kept: Decimal = _NONE) -> bool:
    """Whether all pods together, this one among them, ask for no more than may be added."""
    taken = (node.get(grown.name, _NONE) for node in room.used.values())
    return sum(taken, grown.asked) + kept <= grown.most
