"""A stop that comes before the fetch could begin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sihl_api.runtime import ExitCode, read_result
from sihl_trainer.termination import PATH_VARIABLE

STOPPED_WHILE_IT_IMPORTS = """
import os, signal, sys
from sihl_trainer import cli

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "sihl_trainer.fetch.main":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Stop())
sys.exit(cli.main(["fetch", "train"]))
"""


def test_a_stop_that_comes_while_the_fetch_is_still_imported_is_heard(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_WHILE_IT_IMPORTS],
        env={**os.environ, PATH_VARIABLE: str(log)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == ExitCode.STOPPED_WITHOUT_CHECKPOINT, done.stderr
    result = read_result(log.read_text())
    assert result is not None
    assert result.reason == "StoppedWhileFetching"
