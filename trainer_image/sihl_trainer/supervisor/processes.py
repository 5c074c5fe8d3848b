"""Processes of the container: all that a worker started, orphans, and memory's end."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


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


def oom_kills() -> int:
    """How many processes the kernel has ended for memory in this container's cgroup; 0 if unknown.

    cgroup v2 counts in memory.events, v1 in memory.oom_control. In a container its own cgroup is
    mounted as the root; outside of one it lies where /proc/self/cgroup says.
    """
    for path in _counters():
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return 0


def _counters() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    found = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                found.append(root / path.lstrip("/") / "memory.events")
            elif "memory" in controllers.split(","):
                found.append(root / "memory" / path.lstrip("/") / "memory.oom_control")
    return [*found, root / "memory.events", root / "memory" / "memory.oom_control"]
