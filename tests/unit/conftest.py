from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.datasets import classification
from tests.support.s3 import S3Server, serve
from tests.support.sts import token_of

# As in CUDA's image: who needs what it leaves out fails here, too.
_LEFT_OUT = Path(__file__).parents[2] / "trainer_image" / "never-imported.txt"
for _line in _LEFT_OUT.read_text().splitlines():
    if not _line.startswith("#"):
        sys.modules[_line] = None  # type: ignore[assignment]


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server, one for the whole run."""
    folder: Path = tmp_path_factory.mktemp("s3")
    with serve(folder) as server:
        server.make_bucket("data")
        server.make_bucket("private")
        yield server


@pytest.fixture(scope="session")
def lending_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One that takes keys which are lent, with a small dataset in bucket `data`."""
    with serve(tmp_path_factory.mktemp("lending"), lends=True) as server:
        server.make_bucket("data")
        server.put("data", classification())
        yield server


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """A pod's token, in the file that the kubelet keeps."""
    path = tmp_path / "token"
    path.write_text(token_of())
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because the path of a Unix socket has at most 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="sihl-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)
