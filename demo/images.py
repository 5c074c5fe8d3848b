"""The images, from their Dockerfiles to where the cluster's nodes find them.

`python -m demo.images` builds them for the local cluster, so that what is built later finds layers.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import local_cluster
from demo.cluster import KIND_NAME, Cluster
from demo.commands import ROOT, DemoError, say, show, succeeds

DOCKERFILES = {
    "operator": "operator/Dockerfile",
    "trainer": "trainer_image/Dockerfile",
    "dashboard": "dashboard/Dockerfile",
}
_SOURCES = {
    "dashboard": ("crds/sihl_api", "crds/sihl_s3", "dashboard/sihl_dashboard"),
    "operator": ("crds/sihl_api", "operator/sihl_operator"),
    "trainer": ("crds/sihl_api", "crds/sihl_s3", "trainer_image/sihl_trainer"),
}


def source_digest(name: str, root: Path = ROOT) -> str:
    """A short digest of all that goes into an image: the same code has the same tag."""
    digest = hashlib.sha256()
    files = [root / "pyproject.toml", root / DOCKERFILES[name]]
    files += sorted(files[1].parent.glob("requirements*.txt"))
    for folder in _SOURCES[name]:
        files += sorted(path for path in (root / folder).rglob("*") if _goes_in(path))
    for path in files:
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _goes_in(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def prepare() -> None:
    """Build them for local_cluster, before there is one: `build` then finds all layers."""
    for name, file in DOCKERFILES.items():
        local_cluster.Cluster().images.prepare(_tag(name), ROOT / file, ROOT)


def _tag(name: str) -> str:
    return f"sihl/{name}:demo-{source_digest(name)}"


def build(cluster: Cluster, registry: str | None) -> dict[str, str]:
    """Build all images and hand them to the cluster.

    Args:
        cluster: Whose nodes need them.
        registry: With a given cluster: host/path that this machine pushes to.

    Returns:
        References for pods, by name.

    Raises:
        DemoError: A build failed, or there is no way to the cluster's nodes.
    """
    return {name: _build_one(cluster, name, registry) for name in DOCKERFILES}


def _build_one(cluster: Cluster, name: str, registry: str | None) -> str:
    tag = _tag(name)
    file = ROOT / DOCKERFILES[name]
    if cluster.kind == "local":
        return local_cluster.Cluster().images.build(tag, file, ROOT)
    on_kind = cluster.kind == "kind" or cluster.context.startswith("kind-")
    if not on_kind and not registry:
        raise DemoError(
            f"the nodes of CONTEXT={cluster.context} pull images from a registry: give REGISTRY="
            "host/path that this machine can push to and they can pull from"
        )
    reference = tag if on_kind else f"{registry}/{tag}"
    engine = _engine()
    say(f"  {reference}")
    show(engine, "build", "-t", reference, "-f", file, ROOT)
    if on_kind:
        kind_name = cluster.context.removeprefix("kind-") or KIND_NAME
        show("kind", "load", "docker-image", reference, "--name", kind_name)
    else:
        show(engine, "push", reference)
    return reference


def _engine() -> str:
    if succeeds("docker", "info"):
        return "docker"
    if shutil.which("buildah"):
        return "buildah"
    raise DemoError("building images needs a running docker, or buildah")


if __name__ == "__main__":
    prepare()
