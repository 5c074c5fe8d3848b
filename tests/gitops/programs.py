"""`python -m tests.gitops.programs`: the Argo CD that is tested with, and what it needs."""

from __future__ import annotations

import sys
from pathlib import Path

from local_cluster import programs
from local_cluster.errors import ClusterError
from local_cluster.programs import Module
from local_cluster.report import say

_UPSTREAM = "github.com/argoproj/argo-cd/v3"
_KINDS = ("application", "applicationset", "appproject")
ARGO_CD = Module(
    "argo-cd",
    {f"{_UPSTREAM}/cmd": "argocd"},
    linker=f"-X {_UPSTREAM}/common.version=3.6.1",
    parent=Path(__file__).parent / "modules",
    files=(*(f"manifests/crds/{kind}-crd.yaml" for kind in _KINDS), "hack/git-verify-wrapper.sh"),
    shares=False,
)
_DEBIAN = {"redis-server": "redis-server", "git": "git"}
"""Command -> the Debian package that brings it."""


def crds() -> list[Path]:
    """Files of the kinds that it serves."""
    return [ARGO_CD.folder / f"{kind}-crd.yaml" for kind in _KINDS]


def main() -> int:
    """0, or 2 with one line that says what is missing or failed."""
    try:
        programs.build(modules=[ARGO_CD])
        programs.install_packages(_DEBIAN)
    except ClusterError as error:
        say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
