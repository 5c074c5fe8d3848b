"""Folders with manifests, and stores to put them in, for tests of the run record."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sihl_api.record import MANIFEST, FileEntry, Manifest, RecordPaths

PATHS = RecordPaths("runs", "team-a", "cells", "night", "0123456789abcdef")


def make_folder(
    folder: Path,
    files: dict[str, bytes],
    step: int = 1,
    attempt: int = 1,
    model: bool = False,
    saved_at: str = "2026-01-02T03:04:05Z",
) -> Path:
    """A folder on this machine as the worker leaves it."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    manifest = Manifest(
        format="sihl.ai/model-1" if model else "sihl.ai/checkpoint-1",
        step=step,
        attempt=attempt,
        saved_at=saved_at,
        files={
            name: FileEntry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            for name, content in files.items()
        },
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(by_alias=True))
    return folder
