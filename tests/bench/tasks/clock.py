"""What measures learning: the work of cores, of which other processes take nothing away."""

from __future__ import annotations

import time
from collections.abc import Callable


def of_cores(threads: int) -> Callable[[], float]:
    """A clock of this process's seconds on so many cores: two busy ones take one second in one."""
    return lambda: time.process_time() / threads
