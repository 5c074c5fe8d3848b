"""Of what, and how, a release was made: an in-toto statement with SLSA's predicate, unsigned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from release.source import Source

BUILD_TYPE = "https://sihl.ai/build/make-release/v1"
"""`make release` in a checkout of the commit: docs/releasing.md."""


def statement(
    source: Source,
    subjects: Mapping[str, str],
    base: tuple[str, str],
    locks: Mapping[str, str],
    *,
    repository: str,
    builder: str,
) -> dict[str, Any]:
    """The statement. It holds no time: the same commit gives the same bytes.

    Args:
        source: The commit.
        subjects: sha256 by name, of each file and each image.
        base: Name and digest of the image that all are built from.
        locks: sha256 of the files that pin what is installed, by path.
        repository: The URL that the commit comes from.
        builder: A URI of who built it.
    """
    materials = [
        {"uri": f"git+{repository}", "digest": {"gitCommit": source.commit}},
        {"uri": f"docker://{base[0]}", "digest": {"sha256": base[1].removeprefix("sha256:")}},
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
