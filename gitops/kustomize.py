"""The operator without Helm: what the chart renders to, as a base for Kustomize."""

from __future__ import annotations

from pathlib import Path

from local_cluster.process import run
from local_cluster.programs import program

FOLDER = Path(__file__).parent / "kustomize"
_CHART = Path(__file__).parents[1] / "helm"
_HEADER = "# Written by `make gitops` from the chart, with values.yaml.\n"
_NAMESPACE = "sihl-system"


def base() -> str:
    """`base/sihl.yaml`."""
    return _HEADER + run(
        program("helm"), "template", "sihl", _CHART, "-n", _NAMESPACE,
        "-f", FOLDER / "values.yaml",
    )  # fmt: skip
