"""CHANGELOG.md as Artifact Hub reads it, and releases.yaml: which commits were released."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from release.errors import ReleaseError

_KINDS = {
    "Added": "added",
    "Changed": "changed",
    "Deprecated": "deprecated",
    "Removed": "removed",
    "Fixed": "fixed",
    "Security": "security",
}


@dataclass(frozen=True)
class Change:
    """An entry.

    Args:
        kind: As Artifact Hub calls it.
        text: Its first sentence.
    """

    kind: str
    text: str


def changes(changelog: str, version: str) -> list[Change]:
    """What a version changed.

    Args:
        changelog: CHANGELOG.md.
        version: X.Y.Z.

    Raises:
        ReleaseError: The version has no section, or a heading or nothing in it can be read.
    """
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)
    section = next((each for each in sections if each.split(None, 1)[:1] == [version]), None)
    if section is None:
        raise ReleaseError(f"CHANGELOG.md has no section '## {version}': write what is new")
    found: list[Change] = []
    for part in re.split(r"^### ", section, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        if heading.strip() in _KINDS:
            entries = re.findall(r"^- (.*?)(?=^- |\Z|\n\n)", body, re.DOTALL | re.MULTILINE)
            found += [Change(_KINDS[heading.strip()], _first_sentence(text)) for text in entries]
    if not found:
        raise ReleaseError(f"CHANGELOG.md says nothing under {', '.join(_KINDS)} of {version}")
    return found


def annotation(found: list[Change]) -> str:
    """As artifacthub.io/changes wants it: YAML within the chart's."""
    listed = [{"kind": change.kind, "description": change.text} for change in found]
    text: str = yaml.safe_dump(listed, sort_keys=False, allow_unicode=True, width=1000)
    return text


def releases(path: Path) -> dict[str, str]:
    """The commit of each released version, the oldest first.

    Raises:
        ReleaseError: The file is not one line a version.
    """
    found = yaml.safe_load(path.read_text())
    if not isinstance(found, dict) or not all(
        re.fullmatch(r"\d+\.\d+\.\d+", str(version)) and re.fullmatch(r"[0-9a-f]{40}", str(commit))
        for version, commit in found.items()
    ):
        raise ReleaseError(f"{path} has lines that are not 'X.Y.Z: COMMIT', all 40 digits of it")
    return dict(sorted(found.items(), key=lambda item: tuple(map(int, item[0].split(".")))))


def _first_sentence(text: str) -> str:
    plain = " ".join(text.split())
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", plain).replace("**", "").replace("`", "")
    return re.split(r"(?<=[.!?])\s", plain, maxsplit=1)[0].rstrip(".")
