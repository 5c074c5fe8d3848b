"""Bills of materials in SPDX 2.3: what an image or the wheel consists of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from release.installed import Package
from release.layout import PlatformImage
from release.source import Source
from sihl_api.times import rfc3339

_UNKNOWN = "NOASSERTION"
_NAMESPACE = "https://sihl.ai/spdx"
_DOCUMENT = "SPDXRef-DOCUMENT"
_ROOT = "SPDXRef-Root"

Document = dict[str, Any]


def of_image(name: str, image: PlatformImage, source: Source) -> Document:
    """What is installed in an image.

    Args:
        name: The image's repository.
        image: For one kind of machine.
        source: Of which it was built.
    """
    architecture = image.platform.split("/")[1]
    purl = f"pkg:oci/{name}@{image.digest.replace(':', '%3A')}?arch={architecture}"
    root = _package(_ROOT, Package("oci", f"sihl/{name}", source.version, purl, "Apache-2.0"))
    root |= {
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [_checksum(image.digest.removeprefix("sha256:"))],
    }
    parts = [_package(_id(each), each) for each in image.contents.packages()]
    title = f"sihl-{name}-{source.version}-{architecture}"
    return _document(title, image.digest.removeprefix("sha256:"), source, root, parts, "CONTAINS")


def of_wheel(wheel: Path, digest: str, source: Source) -> Document:
    """What the wheel is, and what installing it brings: each requirement, as it is declared.

    Args:
        wheel: The file.
        digest: Its sha256, in hexadecimal.
        source: Of which it was built.
    """
    with ZipFile(wheel) as archive:
        metadata = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        message = message_from_bytes(archive.read(metadata), policy=policy.compat32)
    name, version = str(message["Name"]), str(message["Version"])
    licence = str(message["License-Expression"] or "")
    root = _package(_ROOT, Package("pypi", name, version, f"pkg:pypi/{name}@{version}", licence))
    root |= {"primaryPackagePurpose": "LIBRARY", "checksums": [_checksum(digest)]}
    parts = _requirements(str(value) for value in message.get_all("Requires-Dist") or [])
    return _document(wheel.stem, digest, source, root, parts, "DEPENDS_ON")


def _requirements(declared: Iterable[str]) -> list[Document]:
    said: dict[str, list[str]] = {}
    for requirement in declared:
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        said.setdefault(name, []).append(requirement)
    return [
        _package(f"SPDXRef-pypi-{_words(name)}", Package("pypi", name, "", f"pkg:pypi/{name}"))
        | {"comment": "; ".join(sorted(said[name]))}
        for name in sorted(said)
    ]


def _document(
    title: str, digest: str, source: Source, root: Document, parts: list[Document], how: str
) -> Document:
    created = rfc3339(source.epoch)
    related = [_relation(_DOCUMENT, "DESCRIBES", _ROOT)]
    related += [_relation(_ROOT, how, part["SPDXID"]) for part in parts]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": title,
        "documentNamespace": f"{_NAMESPACE}/{title}/{digest}",
        "creationInfo": {
            "created": created,
            "creators": [f"Tool: sihl-release-{source.version}", "Organization: sihl"],
        },
        "packages": [root, *parts],
        "relationships": related,
    }


def _package(identity: str, package: Package) -> Document:
    found: Document = {
        "SPDXID": identity,
        "name": package.name,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": package.licence or _UNKNOWN,
        "copyrightText": _UNKNOWN,
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.purl,
            }
        ],
    }
    if package.version:
        found["versionInfo"] = package.version
    return found


def _relation(of: str, kind: str, to: str) -> Document:
    return {"spdxElementId": of, "relationshipType": kind, "relatedSpdxElement": to}


def _checksum(value: str) -> Document:
    return {"algorithm": "SHA256", "checksumValue": value}


def _id(package: Package) -> str:
    where = re.search(r"arch=(\w+)", package.purl)
    parts = (package.kind, package.name, package.version, where[1] if where else "")
    return f"SPDXRef-{_words('-'.join(part for part in parts if part))}"


def _words(text: str) -> str:
    """In the letters that an SPDX id may have; what others it had is told apart by their codes."""
    return re.sub(r"[^A-Za-z0-9.-]", lambda match: f"-{ord(match[0]):x}-", text)
