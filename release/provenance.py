"""Of what, and how, a release was made: an in-toto statement with SLSA's predicate, unsigned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from release.source import Source

DEBIAN = "https://deb.debian.org/debian/dists/trixie"
"""What the images' first layer is made from, by mmdebstrap."""
BUILD_TYPE = "https://sihl.ai/build/make-release/v1"
"""`make release` in a checkout of the commit: docs/releasing.md."""


def statement(
    source: Source,
    subjects: Mapping[str, str],
    bases: Mapping[str, str],
    locks: Mapping[str, str],
    *,
    repository: str,
    builder: str,
) -> dict[str, Any]:
    """The statement. It holds no time: the same commit gives the same bytes.

    Args:
        source: The commit.
        subjects: sha256 by name, of each file and each image.
        bases: Digest of the images' first layer, sha256:..., by platform.
        locks: sha256 of the files that pin what is installed, by path.
        repository: The URL that the commit comes from.
        builder: A URI of who built it.
    """
    materials: list[dict[str, Any]] = [
        {"uri": f"git+{repository}", "digest": {"gitCommit": source.commit}}
    ]
    materials += [
        {
            "name": f"first layer of {platform}",
            "uri": DEBIAN,
            "digest": {"sha256": digest.removeprefix("sha256:")},
        }
        for platform, digest in sorted(bases.items())
    ]
    materials += [
        {"uri": f"git+{repository}#{path}", "digest": {"sha256": digest}}
        for path, digest in sorted(locks.items())
    ]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": name, "digest": {"sha256": digest}}
            for name, digest in sorted(subjects.items())
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "repository": repository,
                    "ref": source.tags[0] if source.tags else source.commit,
                    "version": source.version,
                },
                "resolvedDependencies": materials,
            },
            "runDetails": {"builder": {"id": builder}},
        },
    }
