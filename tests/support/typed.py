"""Types commands of `kubectl sihl`, as a person would, in this process."""

from __future__ import annotations

import io
import re
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from sihl_dashboard.cli.main import run


class Typing:
    """Types commands as a user of a namespace, with these words behind each."""

    def __init__(self, kubeconfig: Path, namespace: str, *always: str) -> None:
        home = str(kubeconfig.parent)  # of kubectl's cache too, which else lies where tests run
        self.environ = {"KUBECONFIG": str(kubeconfig), "XDG_CACHE_HOME": home, "HOME": home}
        self._always = (*(("-n", namespace) if namespace else ()), *always)
        self._pool = ThreadPoolExecutor(4)

    def __call__(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        """Exit code, output, and what was said beside it."""
        out, err = io.StringIO(), io.StringIO()
        return self._run(words, stdin, out, err), out.getvalue(), err.getvalue()

    def begin(self, *words: str, stdin: str = "") -> tuple[Future[int], io.StringIO, io.StringIO]:
        """The same, while the test goes on."""
        out, err = io.StringIO(), io.StringIO()
        return self._pool.submit(self._run, words, stdin, out, err), out, err

    def _run(self, words: tuple[str, ...], stdin: str, out: io.StringIO, err: io.StringIO) -> int:
        return run([*words, *self._always], io.StringIO(stdin), out, err, self.environ)


def rows(text: str) -> list[list[str]]:
    """A table's cells; blank ones at a line's end are missing."""
    return [re.split(r" {3,}", line) for line in text.splitlines()]
