"""`python -m tests.browser.chromium`: the browser that the pages are tested in, from Debian.

Playwright's own builds come from outside the package registries; Debian's is the same engine.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from local_cluster.process import run
from local_cluster.report import say

_INSTALL = ("apt-get", "install", "-y", "-q", "--no-install-recommends")


def program() -> Path | None:
    """Where it lies; None: it is not installed."""
    found = shutil.which("chromium")
    return Path(found) if found else None


@contextmanager
def launched() -> Iterator[Browser]:
    """It, without a window, until the context ends."""
    found = program()
    assert found, "no chromium: python -m tests.browser.chromium"
    with sync_playwright() as playwright:
        # Its sandbox cannot be had as root, and it sees the tests' own pages alone.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def install() -> str | None:
    """Install what is missing; says what stands in the way, or None."""
    if program():
        return None
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "the pages are tested in Chromium: install it (Debian: apt-get install chromium)"
    say("installing Debian packages: chromium fonts-dejavu-core")
    run("apt-get", "update", "-q")
    # The page's letters must have some font, or each of them is an empty box.
    run(*_INSTALL, "chromium", "fonts-dejavu-core", timeout=1800,
        env={"DEBIAN_FRONTEND": "noninteractive"})  # fmt: skip
    return None


if __name__ == "__main__":
    sys.exit(install())
