"""Images as folders, in OCI's image layout, of which the same sources make the same digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from release.archives import rewrite
from release.errors import ReleaseError
from release.installed import Contents
from sihl_api.times import rfc3339

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_PLATFORM = ("architecture", "os", "variant")
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

Document = dict[str, Any]


@dataclass(frozen=True)
class PlatformImage:
    """An image for one kind of machine.

    Args:
        platform: linux/amd64 or the like.
        digest: Of its manifest.
        base: Digest of its first layer.
        packed: Bytes that a node fetches.
        unpacked: Bytes that its files take on a node.
        contents: What is installed in it.
    """

    platform: str
    digest: str
    base: str
    packed: int
    unpacked: int
    contents: Contents


@dataclass(frozen=True)
class Image:
    """An image for one or more kinds of machine: what a registry keeps under one digest.

    Args:
        folder: Its layout.
        digest: Of its index: what the chart pins.
        platforms: What is in it.
    """

    folder: Path
    digest: str
    platforms: tuple[PlatformImage, ...]


def normalised(
    sources: Sequence[Path], target: Path, epoch: int, labels: Mapping[str, str]
) -> Image:
    """Write images for several kinds of machine as one, without what differs from build to build.

    Args:
        sources: Layouts, with one image each, as a builder wrote them.
        target: The folder to write.
        epoch: No file is younger, in seconds since 1970.
        labels: Put on the images.

    Raises:
        ReleaseError: A source is no such layout.
    """
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    images = [_normalised_one(source, blobs, epoch, labels) for source in sources]
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [descriptor for descriptor, _ in images],
        "annotations": dict(sorted(labels.items())),
    }
    (target / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    data = _encoded(index)
    (target / "index.json").write_bytes(data)
    return Image(target, _digest(data), tuple(image for _, image in images))


def read_index(folder: Path) -> tuple[str, Document]:
    """The digest of a layout's index, and the index.

    Raises:
        ReleaseError: It is no layout.
    """
    try:
        data = (folder / "index.json").read_bytes()
        index: Document = json.loads(data)
        if not index["manifests"]:
            raise KeyError("manifests")
    except (OSError, ValueError, KeyError) as error:
        raise ReleaseError(
            f"{folder} is no image in OCI's layout ({error!r}): build it again"
        ) from None
    return _digest(data), index


def blob(folder: Path, digest: str) -> Path:
    """Where a layout keeps what has a digest."""
    algorithm, value = digest.split(":")
    return folder / "blobs" / algorithm / value


def _normalised_one(
    source: Path, blobs: Path, epoch: int, labels: Mapping[str, str]
) -> tuple[Document, PlatformImage]:
    _, index = read_index(source)
    if len(index["manifests"]) != 1:
        raise ReleaseError(f"{source} has {len(index['manifests'])} images: give one a folder")
    manifest = json.loads(blob(source, index["manifests"][0]["digest"]).read_bytes())
    config = json.loads(blob(source, manifest["config"]["digest"]).read_bytes())
    contents = Contents()
    layers: list[Document] = []
    diffs, unpacked = [], 0
    for layer in manifest["layers"]:
        partial = blobs / ".partial"
        inner, outer = rewrite(
            blob(source, layer["digest"]), partial, epoch, contents.wants, contents.saw
        )
        partial.rename(blobs / outer.name.removeprefix("sha256:"))
        layers.append({"mediaType": _LAYER, "digest": outer.name, "size": outer.size})
        diffs.append(inner.name)
        unpacked += inner.size
    config_data = _encoded(_normalised_config(config, diffs, epoch, labels))
    platform = {key: config[key] for key in _PLATFORM if key in config}
    new = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _stored(blobs, config_data, _CONFIG),
        "layers": layers,
        "annotations": dict(sorted(labels.items())),
    }
    descriptor = _stored(blobs, _encoded(new), MANIFEST) | {"platform": platform}
    image = PlatformImage(
        "/".join((config["os"], config["architecture"])),
        descriptor["digest"],
        layers[0]["digest"],
        sum(layer["size"] for layer in layers),
        unpacked,
        contents,
    )
    return descriptor, image


def _normalised_config(
    config: Document, diffs: Iterable[str], epoch: int, labels: Mapping[str, str]
) -> Document:
    """An image's configuration with what a container is given, and nothing of its making."""
    created = rfc3339(epoch)
    inner = config.get("config", {})
    return {
        "created": created,
        **{key: config[key] for key in _PLATFORM if key in config},
        "config": {**inner, "Labels": {**inner.get("Labels", {}), **labels}},
        "rootfs": {"type": "layers", "diff_ids": list(diffs)},
        "history": [
            {**{k: v for k, v in entry.items() if k != "comment"}, "created": created}
            for entry in config.get("history", [])
        ],
    }


def _stored(blobs: Path, data: bytes, kind: str) -> Document:
    digest = _digest(data)
    (blobs / digest.removeprefix("sha256:")).write_bytes(data)
    return {"mediaType": kind, "digest": digest, "size": len(data)}


def _encoded(document: Document) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
