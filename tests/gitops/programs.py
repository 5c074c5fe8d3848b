"""`python -m tests.gitops.programs`: the Argo CD that is tested with, and what it needs."""

from __future__ import annotations

import sys
from pathlib import Path

from local_cluster import programs
from local_cluster.programs import Module

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


if __name__ == "__main__":
    sys.exit(programs.built([ARGO_CD], _DEBIAN))
