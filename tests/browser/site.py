"""The dashboard's server in a process of its own, over a folder of records."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, StorageState

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Site:
    """Where it is.

    Attributes:
        opening: The address that lets a browser in, once.
    """

    opening: str

    @property
    def origin(self) -> str:
        """Scheme, name and port."""
        parts = urlsplit(self.opening)
        return f"{parts.scheme}://{parts.netloc}"


@contextmanager
def serve(folder: Path) -> Iterator[Site]:
    """A server as a person starts it, until the context ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sihl_dashboard.server", "--record", str(folder), "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(_packages())},
    )
    said: list[str] = []
    # Read on and on: a pipe that is full stops who writes to it.
    reader = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
    reader.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.strip():
            process.wait()
            reader.join()
        assert line.strip(), f"the server ended: {''.join(said)}"
        yield Site(line.split()[-1])
    finally:
        process.terminate()
        process.wait()
        reader.join()
    assert "Traceback" not in "".join(said), "".join(said)


def let_in(browser: Browser, site: Site) -> StorageState:
    """The cookie of the one browser that the address lets in."""
    context = browser.new_context()
    context.new_page().goto(site.opening)
    state = context.storage_state()
    context.close()
    return state


def _packages() -> list[str]:
    return [str(ROOT / name) for name in ("crds", "operator", "trainer_image", "dashboard")] + [
        str(ROOT)
    ]
