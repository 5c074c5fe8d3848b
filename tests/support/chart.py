"""The chart, rendered by the real helm."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from local_cluster.programs import program

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm"


class ChartRefusedError(Exception):
    """Helm did not render it; the message is helm's."""


def render(values: dict[str, Any] | None = None, namespace: str = "sihl-system") -> list[Any]:
    """All objects of the chart."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values or {}, file)
        file.flush()
        done = subprocess.run(
            [program("helm"), "template", "sihl", CHART, "-n", namespace, "-f", file.name],
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise ChartRefusedError(done.stderr)
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def one(objects: list[Any], kind: str, name: str, namespace: str | None = None) -> Any:
    """The one object of a kind and name."""
    found = [
        each
        for each in objects
        if each["kind"] == kind
        and each["metadata"]["name"] == name
        and namespace in (None, each["metadata"].get("namespace"))
    ]
    assert len(found) == 1, f"{len(found)} objects {kind}/{name}"
    return found[0]
