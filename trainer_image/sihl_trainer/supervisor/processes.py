"""Processes of the container: all that a worker started, orphans, and memory's end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_UNLIMITED = 1 << 60
"""From here on a limit of cgroup v1 is none: the kernel writes its largest number of pages."""


def reap_orphans(but: int) -> int:
    """Wait for all ended children except one, which somebody else waits for; how many."""
    reaped = 0
    for pid in _children_of(os.getpid()):
        if pid == but:
            continue
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0]:
                reaped += 1
    return reaped


def kill_marked(marker: str) -> int:
    """SIGKILL to every process whose environment holds the marker; how many.

    Descendants inherit an environment whatever sessions and process groups they are in (torchrun
    gives each rank a session of its own) and whoever became their parent.
    """
    killed: set[int] = set()
    while found := set(_marked(marker.encode())) - killed:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= found
    return len(killed)


def _marked(marker: bytes) -> list[int]:
    own = os.getpid()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != own:
            with contextlib.suppress(OSError):
                if marker in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return found


def _children_of(pid: int) -> list[int]:
    children = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # "pid (name) state ppid ...": the name may hold spaces and brackets.
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == pid:
                    children.append(int(entry.name))
    return children


def prefer_as_victim(pid: int) -> None:
    """Where memory runs out, let the kernel end this process before its supervisor."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


@dataclass(frozen=True)
class MemoryKills:
    """What the kernel tells of this container's cgroup.

    Attributes:
        limited: Whether the cgroup has a limit of its own.
        kills: How many of its processes were ended for memory, whoever's ran out; None if unknown.
        limit_met: How often memory ran out at the limit of its own; None where it is not counted.
    """

    limited: bool = False
    kills: int | None = None
    limit_met: int | None = None


def memory_kills() -> MemoryKills:
    """As it is now.

    cgroup v2 counts in memory.events, v1 in memory.oom_control, which knows kills alone. In a
    container its own cgroup is mounted as the root; outside of one it lies where /proc/self/cgroup
    says.
    """
    for folder in _memory_cgroups():
        for counter, limit in (
            ("memory.events", "memory.max"),
            ("memory.oom_control", "memory.limit_in_bytes"),
        ):
            with contextlib.suppress(OSError, ValueError):
                counts = dict(map(str.split, (folder / counter).read_text().splitlines()))
                if "oom_kill" not in counts:
                    continue
                met = int(counts["oom"]) if "oom" in counts else None
                return MemoryKills(_limited(folder / limit), int(counts["oom_kill"]), met)
    return MemoryKills()


def ended_for_memory(before: MemoryKills, after: MemoryKills, killed: bool) -> tuple[bool, bool]:
    """Whether a process was ended for memory at its container's limit; and whether by the node.

    Args:
        before: As it was when the process began.
        after: As it is after its end.
        killed: Whether it was ended by SIGKILL, and not by the supervisor.
    """
    if before.kills is None or after.kills is None:
        return False, killed and not after.limited  # nobody else kills what is in a container
    if after.kills <= before.kills:
        return False, False
    if before.limit_met is None or after.limit_met is None:
        return after.limited, not after.limited
    own = after.limit_met > before.limit_met
    return own, not own


def _limited(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text()) < _UNLIMITED
    return False  # cgroup v2 says "max", and its root says nothing


def _memory_cgroups() -> Iterator[Path]:
    root = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                yield root / path.lstrip("/")
            elif "memory" in controllers.split(","):
                yield root / "memory" / path.lstrip("/")
    yield root
    yield root / "memory"
