"""`python -m tests.e2e.ground`: whether the machine's one local cluster may be had for tests.

Two of them cannot run side by side: they would share ports, bridges and addresses.
"""

from __future__ import annotations

import sys

from demo.__main__ import recall
from local_cluster import Cluster


def taken() -> str | None:
    """What keeps the tests from starting, or None; what their own last run left does not."""
    alive = any(daemon.alive for daemon in Cluster().control_plane.daemons.values())
    if alive and any(used.kind == "local" for used in recall()):
        return "a demo runs on the local cluster, and the tests would end it: `make clean` first"
    return None


if __name__ == "__main__":
    sys.exit(taken())
