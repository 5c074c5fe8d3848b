"""The version of what is installed: pyproject.toml's, which is the one place that says it."""

from __future__ import annotations

from importlib import metadata

DISTRIBUTION = "sihl"


def installed_version() -> str:
    """As the installed package says; "unknown" where the code runs from a folder uninstalled."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
