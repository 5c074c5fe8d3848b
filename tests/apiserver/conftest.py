"""A real API server (etcd and controllers beside it, no node) for the tests of this folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def local_cluster(*arguments: str) -> str:
    """The output of `python -m local_cluster`; its progress goes to the test's log."""
    done = subprocess.run(
        [sys.executable, "-m", "local_cluster", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=1800,
    )
    return done.stdout


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of an API server that knows TrainingJobs, for one test session."""
    state = tmp_path_factory.mktemp("control-plane")
    try:
        path = Path(local_cluster("control-plane", "--state", str(state)).split()[-1])
        os.environ["KUBECONFIG"] = str(path)
        yield path
    finally:
        local_cluster("down", "--state", str(state))
