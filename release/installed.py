"""What is installed in an image, read from its layers: nothing of it is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import PurePosixPath
from urllib.parse import quote

_STATUS = "var/lib/dpkg/status"
_OS = "usr/lib/os-release"
_DEBIANS_PYTHON = "usr/lib/python3/dist-packages/"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


@dataclass(frozen=True, order=True)
class Package:
    """Something that is installed.

    Args:
        kind: deb, pypi or npm.
        name: As it calls itself.
        version: Likewise.
        purl: Its package URL.
        licence: An SPDX expression, where the package says one; else empty.
    """

    kind: str
    name: str
    version: str
    purl: str
    licence: str = ""


@dataclass
class Contents:
    """The files that say what is installed, as the layers lay them over each other."""

    files: dict[str, bytes] = field(default_factory=dict)

    def wants(self, path: str) -> bool:
        """Whether a file of an image is one of these, or takes some away."""
        name = PurePosixPath(path).name
        return (
            path in (_STATUS, _OS)
            or (path.endswith(".dist-info/METADATA") and not path.startswith(_DEBIANS_PYTHON))
            or (name == "package.json" and path.startswith("opt/sihl/assets/"))
            or name.startswith(_WHITEOUT)
        )

    def saw(self, path: str, data: bytes) -> None:
        """Take in the next such file; later layers come later."""
        pure = PurePosixPath(path)
        if not pure.name.startswith(_WHITEOUT):
            self.files[path] = data
            return
        folder = "" if str(pure.parent) == "." else f"{pure.parent}/"
        gone = folder if pure.name == _OPAQUE else folder + pure.name.removeprefix(_WHITEOUT)
        for known in list(self.files):
            if known == gone or known.startswith(gone.rstrip("/") + "/"):
                del self.files[known]

    def packages(self) -> list[Package]:
        """All, in order."""
        found = set(debian_packages(self.files.get(_STATUS, b""), self.files.get(_OS, b"")))
        for path, data in self.files.items():
            if path.endswith("/METADATA"):
                found.add(python_package(data))
            elif path.endswith("/package.json"):
                found.add(node_package(json.loads(data)))
        return sorted(found)


def debian_packages(status: bytes, release: bytes) -> list[Package]:
    """What dpkg's status file has as installed.

    Args:
        status: Its bytes.
        release: Of os-release, which names the distribution.
    """
    fields = dict(line.split("=", 1) for line in release.decode().splitlines() if "=" in line)
    distribution = fields.get("VERSION_CODENAME", "").strip('"')
    packages = []
    for stanza in status.decode(errors="replace").split("\n\n"):
        lines = (line.split(": ", 1) for line in stanza.splitlines() if not line.startswith(" "))
        entry = {line[0]: line[1] for line in lines if len(line) == 2}
        if entry.get("Status", "").endswith(" installed"):
            packages.append(_debian(entry, distribution))
    return packages


def _debian(entry: Mapping[str, str], distribution: str) -> Package:
    name, version = entry["Package"], entry["Version"]
    where = f"?arch={entry['Architecture']}" + (f"&distro={distribution}" if distribution else "")
    purl = f"pkg:deb/debian/{quote(name, safe='')}@{quote(version, safe='')}{where}"
    return Package("deb", name, version, purl)


def python_package(metadata: bytes) -> Package:
    """What an installed distribution says of itself."""
    message = message_from_bytes(metadata, policy=policy.compat32)
    name, version = str(message["Name"]), str(message["Version"])
    normal = name.lower().replace("_", "-").replace(".", "-")
    purl = f"pkg:pypi/{quote(normal, safe='')}@{quote(version, safe='')}"
    return Package("pypi", name, version, purl, str(message["License-Expression"] or ""))


def node_package(manifest: Mapping[str, str]) -> Package:
    """What a package.json says."""
    name, version = manifest["name"], manifest["version"]
    purl = f"pkg:npm/{quote(name, safe='/')}@{quote(version, safe='')}"
    return Package("npm", name, version, purl, str(manifest.get("license", "")))
