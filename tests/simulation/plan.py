"""What users and fate do in one history: drawn by its seed, or cut down when it is shrunk."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

QUEUES = ("cells", "plates")
NODES = {"node-1": 1, "node-2": 2}
SECONDS = 120.0

USERS = {
    "submit": 30, "suspend": 14, "resume": 16, "delete": 5, "recreate": 3, "priority": 10,
    "move": 3, "misqueue": 1,
}  # fmt: skip
"""What users do, and how often."""
FATE = {
    "kill": 8, "pause": 6, "skew": 3, "cut": 4, "evict": 5, "delete-pod": 4, "force-pod": 3,
    "lose-node": 4, "store-away": 3, "stranger": 3, "tenant": 5,
}  # fmt: skip
"""What befalls replicas, pods, nodes and the store."""
REFUSALS = {"deny": 3, "fill-quota": 3, "forbid": 4}
"""What the cluster's people do by mistake or on purpose, and put right later."""
_REFUSED = 3
"""One seed in so many has refusals too, drawn apart: the others' histories stay as they were."""
_UNLISTED = 8
"""In one seed of so many nothing is listed again, which would mend what watching has missed."""
_SOON = 0.5  # of what happens follows quickly upon something else, which finds more
_LASTING = ("pause", "lose-node", "store-away", *REFUSALS)
"""Their value is how many seconds."""


@dataclass(frozen=True)
class Step:
    """At a time, something happens to the job, replica, node or queue of that number."""

    at: float
    what: str
    number: int = 0
    value: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:7.2f} {self.what} {self.number} {self.value:g}"


@dataclass(frozen=True)
class Plan:
    """One history's cause: the same plan is the same history.

    Attributes:
        seed: Of all chance that is not a step: delays, losses, how long a pod works.
        steps: In order of time.
        faults: Whether the API server is slow, loses and refuses requests, and cuts watches.
        fates: Whether attempts crash, meet bad data, vanish. Else each succeeds, and none before
            users have had their last word: how the history ends is the users' choice alone.
    """

    seed: int
    steps: tuple[Step, ...]
    faults: bool = True
    fates: bool = True

    @property
    def unlisted(self) -> bool:
        """Whether no replica lists what it watches again and again: nothing may wait for that."""
        return self.seed % _UNLISTED == 3

    def __str__(self) -> str:
        kind = f"faults={self.faults}, fates={self.fates}"
        return "\n".join((f"seed {self.seed}, {kind}", *map(str, self.steps)))


def drawn(seed: int) -> Plan:
    """The plan of a seed: one in three has gentle users and no faults: stricter rules hold."""
    pick = random.Random(seed)
    rough = pick.random() < 2 / 3
    chances = {**USERS, **FATE} if rough else USERS
    steps = (_first(pick), *_steps(pick, chances, pick.randint(4, 16)))
    return Plan(seed, _merged(steps, _refusals(seed)) if rough else steps, faults=rough)


def pair(seed: int) -> tuple[Plan, Plan]:
    """The same users, without anything that goes wrong, and with."""
    pick = random.Random(seed)
    users = (_first(pick), *_steps(pick, USERS, pick.randint(4, 16)))
    troubles = _steps(pick, FATE, pick.randint(4, 16))
    troubled = _merged(users, troubles, _refusals(seed))
    return Plan(seed, users, False, fates=False), Plan(seed, troubled, True, fates=False)


def _refusals(seed: int) -> tuple[Step, ...]:
    pick = random.Random(f"{seed} refused")
    return _steps(pick, REFUSALS, pick.randint(1, 4)) if seed % _REFUSED == 1 else ()


def _merged(*of: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(sorted(itertools.chain(*of), key=lambda step: step.at))


def _first(pick: random.Random) -> Step:
    return Step(0.0, "submit", 0, pick.random())


def _steps(pick: random.Random, chances: dict[str, int], count: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    for what in pick.choices(list(chances), list(chances.values()), k=count):
        soon = steps and pick.random() < _SOON
        at = round(steps[-1].at + pick.random() ** 2 if soon else pick.uniform(0, SECONDS), 2)
        value = round(pick.random() ** 3 * 90, 2) if what in _LASTING else round(pick.random(), 3)
        steps.append(Step(at, what, pick.randrange(12), value))
    return tuple(sorted(steps, key=lambda step: step.at))
