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

FOLDER = Path(os.environ["MORTAL_FOLDER"])
_write = KubeApi._write


async def write(
    self: KubeApi, verb: str, resource: str, method: str, path: str, body: Any,
    kind: str = "application/json",
) -> dict[str, Any]:  # fmt: skip
    """As the operator's own; then the end, where it is due."""
    answer = await _write(self, verb, resource, method, path, body, kind)
    if found := re.search(rb"fells-(\d+)", path.encode() + orjson.dumps(body)):
        with (FOLDER / found[0].decode()).open("ab") as file:
            file.write(b".")
            written = file.tell()
        if written == int(found[1]):
            print(f"dies after {verb} {resource} of {found[0].decode()}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    return answer


if __name__ == "__main__":
    KubeApi._write = write  # type: ignore[method-assign] # the one place that all writes pass
    sys.exit(main.main())
