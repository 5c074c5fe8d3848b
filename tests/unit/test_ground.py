"""The tests on a real cluster end what their own last run left, and no demo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.__main__ import remember
from demo.cluster import Cluster
from local_cluster.process import Daemon
from local_cluster.settings import cache_folder
from tests.e2e.ground import taken


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Daemon]:
    """Something that runs where the local cluster's etcd does."""
    monkeypatch.setenv("SIHL_CACHE", str(tmp_path))
    daemon = Daemon("etcd", cache_folder() / "cluster" / "run")
    daemon.start(["sleep", "1000"])
    yield daemon
    daemon.stop()


@pytest.mark.parametrize("started", [True, False])
def test_a_demo_on_the_local_cluster_is_left_alone_whoever_started_the_cluster(
    running: Daemon, started: bool
) -> None:
    remember(Cluster("local", "", "", started))
    assert "`make clean`" in str(taken())


def test_a_cluster_that_no_demo_uses_is_in_nobodys_way(running: Daemon) -> None:
    assert taken() is None
    remember(Cluster("kind", "kind-sihl", "", started=True))
    assert taken() is None


def test_a_demo_whose_cluster_is_gone_is_in_nobodys_way(running: Daemon) -> None:
    remember(Cluster("local", "", "", started=True))
    running.stop()
    assert taken() is None
