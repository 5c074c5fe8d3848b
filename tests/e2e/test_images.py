"""What the local cluster's image builds leave behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_cluster.errors import ClusterError
from local_cluster.images import BASE
from local_cluster.settings import cache_folder
from tests.e2e.harness import Harness


def test_a_build_that_fails_leaves_nothing_mounted(harness: Harness, tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"FROM {BASE}\nRUN exit 3\n")
    with pytest.raises(ClusterError, match="exit status 3"):
        harness.cluster.images.prepare("sihl/never:1", dockerfile, tmp_path)
    mounts = Path("/proc/mounts").read_text()
    assert str(cache_folder() / "buildah" / "overlay") + "/" not in mounts
