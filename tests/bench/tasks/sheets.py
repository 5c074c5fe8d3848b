"""What a run has drawn of its last validation, as one picture for docs/tasks.md."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from sihl_trainer.training.run import Run
from tests.bench.tasks.plans import HEAD

MOST = 3
LEAST_HEIGHT = 96
"""Smaller drawings are enlarged by whole numbers, so that they can be seen."""
_GAP = 4
_SECONDS = 60.0


def save_sheet(run: Run, file: Path) -> None:
    """The drawings of the last validation, one below the other, as a PNG.

    Raises:
        FileNotFoundError: It drew nothing.
    """
    assert run.pictures is not None
    run.pictures.finish(_SECONDS)
    folder = run.scratch / f"pictures-{run.state.step}" / HEAD
    drawings = [
        enlarged(Image.open(path).convert("RGB"))
        for path in sorted(folder.glob("*.png"))
        if ".map." not in path.name
    ][:MOST]
    if not drawings:
        raise FileNotFoundError(f"no drawings in {folder}")
    height = sum(drawing.height + _GAP for drawing in drawings) - _GAP
    sheet = Image.new("RGB", (max(drawing.width for drawing in drawings), height), "white")
    top = 0
    for drawing in drawings:
        sheet.paste(drawing, (0, top))
        top += drawing.height + _GAP
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file, optimize=True)


def enlarged(drawing: Image.Image) -> Image.Image:
    """A drawing that is high enough to be looked at."""
    factor = -(-LEAST_HEIGHT // drawing.height)
    size = (drawing.width * factor, drawing.height * factor)
    return drawing.resize(size, Image.Resampling.NEAREST)
