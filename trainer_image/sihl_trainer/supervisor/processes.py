"""Processes of the container: all that a worker started, orphans, and memory's end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends; PID 1 is so without asking."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


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


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and its descendants, also those in sessions of their own.

    torchrun gives each rank a session: its process group does not hold them. The tree is stopped
    from its root on, so that none of it starts another while the list is made.
    """
    tree = [pid]
    for member in tree:
        _signal(member, signal.SIGSTOP)
        tree += [child for child in _children_of(member) if child not in tree]
    for member in tree:
        _signal(member, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


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
