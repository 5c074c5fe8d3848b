"""One line on a terminal that shows how far a run is."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TextIO

from sihl_api.runtime import ProgressReport
from sihl_api.units import human_bytes
from sihl_trainer.recurring import Recurring

_INTERVAL = 0.5
_LOG_INTERVAL = 10.0


class ProgressLine:
    """Rewrites one line where there is a terminal; adds one now and then where there is none."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._stage = ""
        self._shown_at = 0.0

    def show(self, report: ProgressReport) -> None:
        """Show the state."""
        now = time.monotonic()
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write("\r\x1b[K" + progress_text(report)[:width])
        elif report.stage != self._stage or now - self._shown_at >= _LOG_INTERVAL:
            self._stream.write(progress_text(report) + "\n")
            self._stage, self._shown_at = report.stage, now
        self._stream.flush()

    def watching(self, report: Callable[[], ProgressReport]) -> Recurring:
        """Show what this returns, again and again, while the context lasts."""
        return Recurring(lambda: self.show(report()), _INTERVAL, name="terminal")

    def close(self) -> None:
        """Clear the line."""
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def progress_text(report: ProgressReport) -> str:
    """A report on one line."""
    progress, parts = report.progress, [report.stage]
    if progress.dataset_total_bytes:
        done = human_bytes(progress.dataset_bytes or 0)
        parts.append(f"{done} of {human_bytes(progress.dataset_total_bytes)}")
    if progress.step is not None:
        parts.append(f"step {progress.step} of {progress.max_steps} ({progress.percent} %)")
    if progress.images_per_second is not None:
        parts.append(f"{progress.images_per_second:.0f} images/s")
    if progress.remaining:
        parts.append(f"{progress.remaining} left")
    parts += [f"{name} {value}" for name, value in sorted(report.metrics.items())[:4]]
    return "  ".join(parts)
