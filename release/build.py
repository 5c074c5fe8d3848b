"""`make release`: a commit, and all that is made of it, in one folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from local_cluster import ClusterError
from local_cluster.programs import ALL, build, program
from local_cluster.report import say, step
from release import changelog, packages, provenance, sbom
from release.errors import ReleaseError
from release.images import PROJECT, RECIPES, Builder
from release.layout import Image
from release.source import Source, export, stamp

SUMS = "SHA256SUMS"
SIGNATURE = f"{SUMS}.sigstore.json"
"""The sums' signature, in the form that sigstore calls a bundle."""
PROVENANCE = "provenance.json"
VALUES = "images.yaml"
LOCKS = ("uv.lock", "operator/requirements.txt", "dashboard/requirements.txt",
         "trainer_image/requirements-cpu.txt", "trainer_image/requirements-cuda.txt")  # fmt: skip
"""What pins that which is installed."""


def make(
    source: Source,
    folder: Path,
    builder: Builder,
    names: Sequence[str] = tuple(RECIPES),
    *,
    repository: str,
    by: str,
) -> Path:
    """Build images, chart and wheel, and what is told of them.

    Args:
        source: A commit that may be released.
        folder: What is made; it must not be there.
        builder: Of the images.
        names: Which images.
        repository: The URL that the commit comes from.
        by: A URI of who builds.

    Returns:
        The folder.

    Raises:
        ReleaseError: Something cannot be built, or the disk has no room for it; the folder is not
            there then.
    """
    if folder.exists():
        raise ReleaseError(f"{folder} is there: remove it to build {source.version} again")
    builder.require_space(names)
    helm = _helm()
    with _whole(folder) as partial, tempfile.TemporaryDirectory() as scratch:
        tree = export(source.commit, Path(scratch) / "tree")
        stamp(tree, source.python_version, source.version)
        with step("chart"):
            packages.annotate(tree / "helm", told_by_the_chart(tree, source))
            packages.chart(helm, tree / "helm", partial, source.epoch)
        with step("wheel"):
            wheel = packages.wheel(tree, source, partial)
        images = {}
        for name in names:
            images[name] = builder.build(name, tree, source, partial / "images" / name)
            say(f"  {name}: {images[name].digest}, {_sizes(images[name])}")
        (partial / VALUES).write_text(pins(images))
        _write_sboms(partial / "sbom", images, wheel, source)
        locks = {path: sha256(tree / path) for path in LOCKS if (tree / path).exists()}
        subjects = {path: sha256(partial / path) for path in listed(partial)}
        subjects |= {
            f"{PROJECT}/{name}": image.digest.removeprefix("sha256:")
            for name, image in images.items()
        }
        bases = {each.platform: each.base for image in images.values() for each in image.platforms}
        told = provenance.statement(
            source, subjects, bases, locks, repository=repository, builder=by
        )
        (partial / PROVENANCE).write_text(_json(told))
        write_sums(partial)
    return folder


def told_by_the_chart(tree: Path, source: Source) -> dict[str, str]:
    """What the chart says of itself to Artifact Hub."""
    text = (tree / "CHANGELOG.md").read_text()
    return {
        "artifacthub.io/changes": changelog.annotation(changelog.changes(text, source.declared)),
        "artifacthub.io/license": "Apache-2.0",
    }


def pins(images: dict[str, Image]) -> str:
    """The chart's values by which a cluster runs these images and no others."""
    values = {
        part: {"image": {"digest": images[part].digest}}
        for part in ("operator", "dashboard", "trainer")
        if part in images
    }
    if "trainer" not in images and "trainer-cpu" in images:
        cpu = images["trainer-cpu"]
        values["trainer"] = {
            "image": {"repository": f"{PROJECT}/trainer-cpu", "digest": cpu.digest}
        }
    text: str = yaml.safe_dump(values, sort_keys=False)
    return text


def listed(folder: Path) -> list[str]:
    """All files of a release but the sums and their signature, by their paths in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        str(path.relative_to(folder)) for path in files if path.name not in (SUMS, SIGNATURE)
    )


def write_sums(folder: Path) -> None:
    """Write what `sha256sum --check` reads."""
    lines = [f"{sha256(folder / path)}  {path}\n" for path in listed(folder)]
    (folder / SUMS).write_text("".join(lines))


def differences(one: Path, other: Path) -> list[str]:
    """Files that two releases do not have alike."""
    sums = [dict(_read_sums(folder)) for folder in (one, other)]
    return sorted(path for path in sums[0].keys() | sums[1].keys()
                  if sums[0].get(path) != sums[1].get(path))  # fmt: skip


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_sums(folder: Path) -> Iterator[tuple[str, str]]:
    for line in (folder / SUMS).read_text().splitlines():
        digest, path = line.split("  ", 1)
        yield path, digest


def _write_sboms(folder: Path, images: dict[str, Image], wheel: Path, source: Source) -> None:
    folder.mkdir()
    for name, image in images.items():
        for platform in image.platforms:
            file = folder / f"{name}-{platform.platform.replace('/', '-')}.spdx.json"
            file.write_text(_json(sbom.of_image(name, platform, source)))
    told = sbom.of_wheel(wheel, sha256(wheel), source)
    (folder / f"{wheel.stem}.spdx.json").write_text(_json(told))


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder that is there only once all of it is."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "images").mkdir(parents=True)
    try:
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _helm() -> Path:
    try:
        build(modules=[module for module in ALL if module.name == "helm"])
    except ClusterError as error:
        raise ReleaseError(str(error)) from None
    return program("helm")


def _sizes(image: Image) -> str:
    return ", ".join(
        f"{each.platform} {each.packed / 1e6:.0f} MB packed, {each.unpacked / 1e6:.0f} MB unpacked"
        for each in image.platforms
    )


def _json(document: object) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
