"""Processors that a container may use."""

from __future__ import annotations

import os
from pathlib import Path


def available_cpus() -> int:
    """Processors that this container may use: its affinity, and its cgroup's quota."""
    count = len(os.sched_getaffinity(0))
    quota = _quota()
    return max(1, min(count, round(quota))) if quota else count


def _quota() -> float | None:
    """Processors that the cgroup grants, version 2 or 1; None: no limit."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        folder = Path("/sys/fs/cgroup/cpu")
        limit_us = int((folder / "cpu.cfs_quota_us").read_text())
        return limit_us / int((folder / "cpu.cfs_period_us").read_text()) if limit_us > 0 else None
    except (OSError, ValueError):
        return None
