"""Since when this process has seen what is so: every time-out runs from there.

The clocks of two machines differ, by hours where nobody looks after them, and are put right at any
time: what another machine wrote is never held against a clock of this one. Only a clock that does
nothing but go on is asked, and only for how long this process has seen a thing. It has happened
earlier, so no time-out is ever too short; one begins anew for a process that has just started.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clocks:
    """What a process knows of the time.

    Attributes:
        wall: Seconds since 1970, for people to read: it may be wrong, and jump.
        monotonic: Seconds that go on evenly, from any beginning: time-outs are counted by these.
    """

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Ages:
    """For how many seconds this process has seen what is so; 0 for what is not.

    Attributes:
        attempt: The job has its current attempt.
        obstacle: What its status tells is in the job's way.
        tried: A node has the attempt's pod; where none has it yet, a scheduler looks for one.
        progress: So many containers of the attempt's pod have ended, and no more.
        deleting: The pod is being deleted.
        trained: The pod's trainer has ended.
        heard: What others say of the pod has been asked for; infinite where it never was.
    """

    attempt: float = 0.0
    obstacle: float = 0.0
    tried: float = 0.0
    progress: float = 0.0
    deleting: float = 0.0
    trained: float = 0.0
    heard: float = math.inf


UNSEEN = Ages()


class Sightings:
    """What is so of each object, and since when it was seen to be.

    Args:
        clock: Seconds that go on evenly.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, dict[Hashable, float]] = {}

    def note(self, uid: str, *facts: Hashable) -> None:
        """All that is so of an object now: what was so before keeps its time."""
        known, now = self._since.get(uid, {}), self._clock()
        self._since[uid] = {fact: known.get(fact, now) for fact in facts}

    def age(self, uid: str, fact: Hashable) -> float:
        """Seconds since something was first seen to be so of an object; 0 where it is not so."""
        since = self._since.get(uid, {}).get(fact)
        return 0.0 if since is None else self._clock() - since

    def forget(self, uid: str) -> None:
        """An object that is gone."""
        self._since.pop(uid, None)
