"""`python -m tests.browser.programs`: the identity-aware proxy that pages are tested behind."""

from __future__ import annotations

import sys
from pathlib import Path

from local_cluster import programs
from local_cluster.programs import Module

OAUTH2_PROXY = Module(
    "oauth2-proxy",
    {"github.com/oauth2-proxy/oauth2-proxy/v7": "oauth2-proxy"},
    parent=Path(__file__).parent / "modules",
)


if __name__ == "__main__":
    sys.exit(programs.built([OAUTH2_PROXY]))
