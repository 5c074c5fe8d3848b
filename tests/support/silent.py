"""`python -m tests.support.silent`: the operator, whose loop falls silent at SIGUSR1.

All else in the process goes on. The loop counts as silent after a few seconds.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from sihl_operator import main, process
from sihl_operator.rounds import Rounds

_run = Rounds.run


async def run(self: Rounds) -> None:
    """As the operator's own; then nothing more, for ever."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
    loop = asyncio.create_task(_run(self))
    await told.wait()
    loop.cancel()
    await asyncio.Event().wait()


if __name__ == "__main__":
    Rounds.run = run  # type: ignore[method-assign] # a task that hangs, and does not end
    process._SILENT_SECONDS = 3.0
    sys.exit(main.main())
