"""axe-core, which finds what shuts people out of a page: fetched once, by version and hash."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
import urllib.request
from typing import Any

from playwright.sync_api import Page

from local_cluster.settings import cache_folder

VERSION = "4.14.1"
_URL = f"https://registry.npmjs.org/axe-core/-/axe-core-{VERSION}.tgz"
_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
"""As npm's registry says it (`dist.integrity`)."""
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = "options => axe.run(document, options).then(found => found.violations)"


def source() -> str:
    """The script. Not part of this project's code, and so never committed (MPL-2.0)."""
    kept = cache_folder() / "browser" / f"axe-{VERSION}.min.js"
    if not kept.exists():
        with urllib.request.urlopen(_URL, timeout=60) as response:
            archive = response.read()
        if base64.b64encode(hashlib.sha512(archive).digest()).decode() != _SHA512:
            raise ValueError(f"{_URL} is not what was pinned: its sha512 differs")
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            member = opened.extractfile("package/axe.min.js")
            assert member is not None
            script = member.read()
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_bytes(script)
        partial.rename(kept)  # whole or not there, also for a run beside this one
    return kept.read_text()


def faults(page: Page) -> list[str]:
    """What axe finds on the page as it is now, a line each: the rule, where, and what to read."""
    page.evaluate(source())
    found: list[dict[str, Any]] = page.evaluate(_RUN, {"runOnly": _TAGS})
    return [
        f"{rule['id']} ({rule['help']}): {node['target']} {node['html'][:200]}"
        f" {[each['message'] for each in node['any'][:2]]}"
        for rule in found
        for node in rule["nodes"]
    ]
