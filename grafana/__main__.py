"""Writes helm/dashboards from the code: `python -m grafana`."""

from __future__ import annotations

from pathlib import Path

from grafana.panels import encoded
from grafana.platform import platform
from grafana.project import project

FOLDER = Path(__file__).parents[1] / "helm" / "dashboards"


def written() -> dict[str, str]:
    """The dashboards' JSON, by the file's name."""
    return {"platform.json": encoded(platform()), "project.json": encoded(project())}


def main() -> None:
    """Write all."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in written().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
