"""`python -m tests.browser.programs`: the identity-aware proxy that pages are tested behind."""

from __future__ import annotations

import sys
from pathlib import Path

from local_cluster import programs
from local_cluster.errors import ClusterError
from local_cluster.programs import Module
from local_cluster.report import say

OAUTH2_PROXY = Module(
    "oauth2-proxy",
    {"github.com/oauth2-proxy/oauth2-proxy/v7": "oauth2-proxy"},
    parent=Path(__file__).parent / "modules",
)


def main() -> int:
    """0, or 2 with one line that says what failed."""
    try:
        programs.build(modules=[OAUTH2_PROXY])
    except ClusterError as error:
        say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
