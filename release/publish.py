"""Signing and pushing a release, with keys and a registry that are given from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from release.build import PROVENANCE, SUMS
from release.bundle import tools
from release.errors import ReleaseError
from release.images import PROJECT
from release.layout import read_index


@dataclass(frozen=True)
class Keys:
    """What signs.

    Args:
        cosign: The program.
        key: As cosign takes it: a file, or a URI of a key service.
    """

    cosign: str
    key: str


def keys(given: Mapping[str, str]) -> Keys:
    """What the environment gives.

    Raises:
        ReleaseError: A key or cosign is missing.
    """
    key = given.get("COSIGN_KEY", "")
    if not key:
        raise ReleaseError("nothing to sign with: give COSIGN_KEY=FILE, or a key service's URI")
    cosign = shutil.which("cosign", path=given.get("PATH"))
    if cosign is None:
        raise ReleaseError("signing needs cosign on the PATH: github.com/sigstore/cosign")
    return Keys(cosign, key)


def push_commands(release: Path, registry: str, programs: Mapping[str, Path]) -> list[list[str]]:
    """What puts images and chart into a registry.

    Args:
        release: As `make release` made it.
        registry: HOST or HOST/PATH.
        programs: crane and helm.

    Raises:
        ReleaseError: No registry, or it is no release that may be pushed.
    """
    if not registry or "://" in registry:
        raise ReleaseError("give REGISTRY=HOST or HOST/PATH to push to, without https://")
    if not (release / SUMS).exists():
        raise ReleaseError(f"{release} is no release: `make release` first")
    commands = [
        [str(programs["crane"]), "push", "--index", str(image),
         f"{registry}/{PROJECT}/{image.name}:{release.name}"]
        for image in sorted((release / "images").iterdir())
    ]  # fmt: skip
    chart = release / f"sihl-{release.name}.tgz"
    target = f"oci://{registry}/{PROJECT}/charts"
    plain = ["--plain-http"] if registry.startswith(("localhost:", "127.0.0.1:")) else []
    commands.append([str(programs["helm"]), "push", str(chart), target, *plain])
    return commands


def sign_commands(release: Path, registry: str, given: Keys) -> list[list[str]]:
    """What signs the images by digest, attests how they were made, and signs the sums.

    Args:
        release: As `make release` made it.
        registry: Where its images were pushed to.
        given: What signs.
    """
    statement = json.loads((release / PROVENANCE).read_text())
    predicate = release.parent / f".{release.name}.predicate.json"
    predicate.write_text(json.dumps(statement["predicate"]))
    base = [given.cosign]
    keyed = ["--key", given.key, "--yes"]
    commands = []
    for image in sorted((release / "images").iterdir()):
        digest, _ = read_index(image)
        reference = f"{registry}/{PROJECT}/{image.name}@{digest}"
        commands.append([*base, "sign", *keyed, reference])
        attest = ["--type", "slsaprovenance1", "--predicate", str(predicate)]
        commands.append([*base, "attest", *keyed, *attest, reference])
    sums = str(release / SUMS)
    commands.append([*base, "sign-blob", *keyed, "--output-signature", f"{sums}.sig", sums])
    return commands


def push(release: Path, registry: str) -> None:
    """Push. Raises ReleaseError."""
    for command in push_commands(release, registry, tools()):
        _run(command)


def sign(release: Path, registry: str) -> None:
    """Sign what `push` has pushed. Raises ReleaseError."""
    given = keys(os.environ)
    if not registry or "://" in registry:
        raise ReleaseError("give REGISTRY=HOST or HOST/PATH that the images were pushed to")
    for command in sign_commands(release, registry, given):
        _run(command)


def _run(command: list[str]) -> None:
    if subprocess.run(command).returncode:
        raise ReleaseError(f"`{' '.join(command[:4])} ...` failed: see above")
