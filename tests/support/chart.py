"""The chart as it is handed out, rendered by the real helm."""

from __future__ import annotations

import atexit
import base64
import functools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from demo.chart import CHART
from local_cluster.programs import program
from release.packages import chart

__all__ = ["CHART", "ChartRefusedError", "one", "packaged", "render", "template", "texts"]

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's takes a tenth of the time


class ChartRefusedError(Exception):
    """Helm did not render it; the message is helm's."""


@functools.cache
def packaged() -> Path:
    """The chart's package, made once a process."""
    folder = tempfile.mkdtemp(prefix="sihl-chart-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return chart(program("helm"), CHART, Path(folder))


def render(
    values: dict[str, Any] | None = None,
    namespace: str = "sihl-system",
    package: Path | None = None,
) -> list[Any]:
    """All objects of the chart, or of another package of it; the same values are rendered once."""
    told = _kept(json.dumps(values or {}), namespace, package or packaged())
    return [document for document in yaml.load_all(told, _Loader) if document]


def template(values: str, namespace: str, package: Path) -> str:
    """What helm prints for values, as JSON; it is asked each time."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(values)
        file.flush()
        done = subprocess.run(
            [program("helm"), "template", "sihl", package, "-n", namespace, "-f", file.name],
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise ChartRefusedError(done.stderr)
    return done.stdout


_kept = functools.cache(template)


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


def texts(secret: Any) -> dict[str, str]:
    """What a Secret holds, as text."""
    data = secret.get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}
