"""Pictures of a validation's predictions: of which images, and their way to the supervisor."""

from __future__ import annotations

import heapq
import logging
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from sihl_api.runtime import Message
from sihl_trainer.newest import Newest
from sihl_trainer.training.channel import PicturesWritten

log = logging.getLogger(__name__)

Draw = Callable[[], Mapping[str, bytes]]
_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


def chosen(names: Sequence[str], count: int, seed: int) -> list[str]:
    """The images that are drawn, sorted: as many of these, the same ones each time.

    Which ones follows from the seed and each name alone, by hash, so that an image that is added
    takes the place of one other at most.
    """
    first = heapq.nsmallest(
        count, names, key=lambda name: sha256(f"{seed}/{name}".encode()).digest()
    )
    return sorted(first)


class PictureWriter:
    """Draws and writes beside the training, one validation at a time.

    One that is submitted while another is drawn waits, and replaces what waited. Whatever goes
    wrong costs pictures, and is told once until it goes well again.

    Args:
        scratch: A folder is made in it for each validation.
        send: Tells the supervisor, whose the folder is from then on.
    """

    def __init__(self, scratch: Path, send: Callable[[Message], None]) -> None:
        self._scratch = scratch
        self._send = send
        self._failing = False
        self._newest = Newest(self._write, "pictures")

    def submit(self, step: int, draw: Draw) -> None:
        """Have a validation's pictures drawn and written; returns at once.

        Args:
            step: The validation's.
            draw: Called in another thread: files as `<head>/<file>`, where `picture_file` names
                what belongs to one image. What it needs must be on the CPU, and nobody else's.
        """
        self._newest.put((step, draw))

    def finish(self, seconds: float) -> None:
        """Wait until all is handed over, for so long at most.

        For the end of a run, between `ModelWritten` and `Done`: neither the model's upload nor a
        stop waits for pictures.
        """
        self._newest.finish(seconds)

    def _write(self, validation: tuple[int, Draw]) -> None:
        step, draw = validation
        folder = self._scratch / f"pictures-{step}"
        try:
            files = draw()
            for name, content in files.items():
                if not _NAME.fullmatch(name):
                    raise ValueError(f"{name!r} is not of the form head/file")
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)  # on a full disk it may be a part
            if not self._failing:
                log.warning("Pictures of step %d could not be written: %s", step, error)
            self._failing = True
            return
        self._failing = False
        if files:
            self._send(PicturesWritten(directory=str(folder), step=step))
