"""uPlot, fetched by its version and hash: when the image is built, and once on one's own machine.

python -m sihl_dashboard.server.assets FOLDER
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
import urllib.request
from pathlib import Path

URL = "https://registry.npmjs.org/uplot/-/uplot-1.6.32.tgz"
SHA512 = (
    "2883159c6ebccefbb95d751b0b82d010f9e1c0ec41b8bc96d401eda66e882935"
    "c89a46cb824332fa369b8cb8122cc6ac36e186cd09bf7a9ded3a4c93c6989023"
)
_FILES = {
    "package/dist/uPlot.esm.js": "uPlot.esm.js",
    "package/dist/uPlot.min.css": "uPlot.min.css",
    "package/LICENSE": "LICENSE",
}
_LONGEST = 4 << 20
_TIMEOUT = 60.0


class AssetError(Exception):
    """What came is not what was asked for, or nothing came; the message is a person's."""


def registry_url() -> str:
    """npm's, or the mirror that the environment names, as for npm itself."""
    mirror = os.environ.get("NPM_CONFIG_REGISTRY")
    return URL.replace("https://registry.npmjs.org", mirror.rstrip("/")) if mirror else URL


def fetch(folder: Path) -> Path:
    """The folder with uPlot in it, fetched unless it is there. Raises AssetError."""
    target = folder / "uplot"
    if all((target / name).is_file() for name in _FILES.values()):
        return folder
    try:
        with urllib.request.urlopen(registry_url(), timeout=_TIMEOUT) as answer:  # noqa: S310
            data = answer.read(_LONGEST)
    except OSError as error:
        raise AssetError(
            f"{registry_url()} cannot be fetched ({error}): check the network, or set "
            "NPM_CONFIG_REGISTRY to a mirror"
        ) from None
    found = hashlib.sha512(data).hexdigest()
    if found != SHA512:
        raise AssetError(f"{registry_url()} is not uPlot 1.6.32: its sha512 is {found}")
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member, name in _FILES.items():
            file = archive.extractfile(member)
            if file is None:
                raise AssetError(f"{registry_url()} has no {member}")
            partial = target / f".{name}.{os.getpid()}"
            partial.write_bytes(file.read())
            partial.replace(target / name)
    return folder


def default_folder() -> Path:
    """Beside what else was fetched."""
    cache = os.environ.get("SIHL_CACHE") or Path.home() / ".cache" / "sihl"
    return Path(cache) / "dashboard-assets"


def main() -> None:
    """Fetch into the folder that was named."""
    try:
        print(fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else default_folder()))
    except AssetError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
