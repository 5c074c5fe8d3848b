"""Signing and pushing a release, with keys and a registry that are given from outside."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from release.build import PROVENANCE, SIGNATURE, SUMS, sha256
from release.bundle import tools
from release.errors import ReleaseError
from release.images import PROJECT
from release.layout import read_index


@dataclass(frozen=True)
class Keys:
    """What signs.

    Args:
        cosign: The program, of version 3.
        key: As cosign takes it: a file, or a URI of a key service.
        services: Of a signing configuration in cosign's words, a file: which services are told of
            the signatures; by default the public log.
    """

    cosign: str
    key: str
    services: str = ""


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
        raise ReleaseError("signing needs cosign 3 on the PATH: github.com/sigstore/cosign")
    return Keys(cosign, key, given.get("COSIGN_SIGNING_CONFIG", ""))


def push_commands(release: Path, registry: str, programs: Mapping[str, Path]) -> list[list[str]]:
    """What puts images and chart into a registry.

    Args:
        release: As `make release` made it.
        registry: HOST or HOST/PATH.
        programs: crane and helm.

    Raises:
        ReleaseError: No registry, or it is no release that may be pushed.
    """
    _require_registry(registry)
    _require_release(release)
    commands = [
        [str(programs["crane"]), "push", "--index", str(image),
         f"{registry}/{PROJECT}/{image.name}:{release.name}"]
        for image in sorted((release / "images").iterdir())
    ]  # fmt: skip
    target = f"oci://{registry}/{PROJECT}/charts"
    plain = ["--plain-http"] if registry.startswith(("localhost:", "127.0.0.1:")) else []
    commands.append([str(programs["helm"]), "push", str(_chart(release)), target, *plain])
    return commands


def sign_commands(
    references: Sequence[str], sums: Sequence[Path], predicate: Path, given: Keys
) -> list[list[str]]:
    """What signs artefacts by digest, attests how they were made, and signs the sums.

    Args:
        references: In a registry, each with its digest.
        sums: Files, each of which gets its signature beside it.
        predicate: How all were made: the provenance's predicate.
        given: What signs.
    """
    told = ["--signing-config", given.services] if given.services else []
    keyed = ["--key", given.key, "--yes", *told]
    attest = ["--type", "slsaprovenance1", "--predicate", str(predicate)]
    commands = []
    for reference in references:
        commands.append([given.cosign, "sign", *keyed, reference])
        commands.append([given.cosign, "attest", *keyed, *attest, reference])
    for file in sums:
        signature = file.with_name(SIGNATURE)
        commands.append([given.cosign, "sign-blob", *keyed, "--bundle", str(signature), str(file)])
    return commands


def push(release: Path, registry: str, epoch: int) -> None:
    """Push.

    Args:
        release: As `make release` made it.
        registry: HOST or HOST/PATH.
        epoch: When it was committed, in seconds since 1970: helm writes the chart's time into its
            manifest, and the same chart has one digest.

    Raises:
        ReleaseError: No registry, no release, or it is refused.
    """
    commands = push_commands(release, registry, tools())
    os.utime(_chart(release), (epoch, epoch))
    for command in commands:
        _run(command)


def sign(release: Path, bundle: Path, registry: str) -> None:
    """Sign what `push` has pushed, and the sums of release and bundle.

    Args:
        release: As `make release` made it.
        bundle: As `make bundle` made it; it need not be there.
        registry: Where the release was pushed to.

    Raises:
        ReleaseError: No key, no registry, no release, or another chart was pushed.
    """
    given = keys(os.environ)
    _require_registry(registry)
    _require_release(release)
    references = [*_images(release, registry), pushed_chart(release, registry, tools()["crane"])]
    sums = [folder / SUMS for folder in (release, bundle) if folder.exists()]
    statement = json.loads((release / PROVENANCE).read_text())
    with tempfile.TemporaryDirectory() as folder:
        predicate = Path(folder) / "predicate.json"
        predicate.write_text(json.dumps(statement["predicate"]))
        for command in sign_commands(references, sums, predicate, given):
            _run(command)


def pushed_chart(release: Path, registry: str, crane: Path) -> str:
    """The reference, by its digest, of a release's chart in a registry.

    Raises:
        ReleaseError: The registry has none, or another one under its version.
    """
    chart = f"{registry}/{PROJECT}/charts/sihl"
    tagged = f"{chart}:{release.name}"
    found = subprocess.run([crane, "manifest", tagged], capture_output=True)
    if found.returncode:
        raise ReleaseError(f"{tagged} cannot be read ({_last(found.stderr)}): `make push` first")
    layers = [layer["digest"] for layer in json.loads(found.stdout)["layers"]]
    if layers != [f"sha256:{sha256(_chart(release))}"]:
        raise ReleaseError(f"{tagged} is not this release's chart: nothing is signed")
    return f"{chart}@sha256:{hashlib.sha256(found.stdout).hexdigest()}"


def _images(release: Path, registry: str) -> list[str]:
    return [
        f"{registry}/{PROJECT}/{image.name}@{read_index(image)[0]}"
        for image in sorted((release / "images").iterdir())
    ]


def _chart(release: Path) -> Path:
    return release / f"sihl-{release.name}.tgz"


def _require_registry(registry: str) -> None:
    if not registry or "://" in registry:
        raise ReleaseError("give REGISTRY=HOST or HOST/PATH, without https://")


def _require_release(release: Path) -> None:
    if not (release / SUMS).exists():
        raise ReleaseError(f"{release} is no release: `make release` first")


def _last(said: bytes) -> str:
    return (said.decode(errors="replace").strip().splitlines() or ["no word"])[-1]


def _run(command: list[str]) -> None:
    if subprocess.run(command, env={**os.environ, "TZ": "UTC"}).returncode:
        raise ReleaseError(f"`{' '.join(command[:4])} ...` failed: see above")
