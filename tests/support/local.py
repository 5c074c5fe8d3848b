"""`sihl-trainer local` with the tests' own worker, as a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

WORKER = [sys.executable, "-m", "tests.support.worker"]


def main(job: str, output: str, dataset: str = "") -> NoReturn:
    """As `sihl_trainer.cli` starts it, but for the worker."""
    import signal

    from sihl_trainer.signals import StopSignals, leave

    signals = StopSignals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    from sihl_trainer.local import local_main

    given = Path(dataset) if dataset else None
    leave(local_main(Path(job), Path(output), given, os.environ, signals, WORKER))


if __name__ == "__main__":
    main(*sys.argv[1:])
