"""`python -m tests.support.mortal`: the operator, killed right after certain writes took effect.

`MORTAL_FOLDER` has a file for each job named `fells-N`, as long as its writes have been many. The
process whose write is the N-th kills itself, as `kill -9` would.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import orjson

from sihl_operator import main
from sihl_operator.kube import KubeApi

_write = KubeApi._write


def writes(folder: Path, job: str) -> int:
    """How many writes for the job took effect so far, by whichever process."""
    file = folder / job
    return file.stat().st_size if file.exists() else 0


async def write(
    self: KubeApi, verb: str, resource: str, method: str, path: str, body: Any,
    kind: str = "application/json",
) -> dict[str, Any]:  # fmt: skip
    """As the operator's own; then the end, where it is due."""
    answer = await _write(self, verb, resource, method, path, body, kind)
    if found := re.search(rb"fells-(\d+)", path.encode() + orjson.dumps(body)):
        folder, job = Path(os.environ["MORTAL_FOLDER"]), found[0].decode()
        with (folder / job).open("ab") as file:
            file.write(b".")
        if writes(folder, job) == int(found[1]):
            print(f"dies after {verb} {resource} of {job}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    return answer


if __name__ == "__main__":
    KubeApi._write = write  # type: ignore[method-assign] # the one place that all writes pass
    sys.exit(main.main())
