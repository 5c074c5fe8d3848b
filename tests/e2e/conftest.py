"""One real cluster for the whole session: two nodes with one GPU each, the chart, its store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from examples import digits
from local_cluster import Cluster
from local_cluster.node import Node
from local_cluster.process import run
from tests.e2e.ground import taken
from tests.e2e.harness import Harness
from tests.support.proxy import Faults, proxied

SLOW_UPLOAD = 15e6  # bytes a second
SLOW_DOWNLOAD = 20e3
SMALL_DISK = 1 << 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test has the cluster and the images built, which takes minutes where it is cold."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(2400))


@pytest.fixture(scope="session")
def roads() -> dict[str, Faults]:
    """Proxies to the store: `slow-store` for uploads, `slow-dataset` for downloads."""
    return {}


@pytest.fixture(scope="session")
def harness(
    roads: dict[str, Faults], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    if problem := taken():
        pytest.exit(problem, returncode=2)
    cluster = Cluster(audit=True)
    cluster.down()  # what an interrupted run left behind would be in the way
    cluster.up()
    with_small_disk(cluster.nodes[1])
    gateway = cluster.nodes[0].settings.address
    with ExitStack() as stack:
        stack.callback(cluster.down)

        def slow(endpoint: str) -> str:
            road = stack.enter_context(proxied(endpoint, gateway))
            road.upload_rate = SLOW_UPLOAD
            roads["slow-store"] = road
            return road.endpoint

        harness = Harness(cluster)
        harness.install(slow)
        road = stack.enter_context(proxied(harness.store.endpoint, gateway))
        road.answer_rate = SLOW_DOWNLOAD
        roads["slow-dataset"] = road
        upload(harness, tmp_path_factory.mktemp("digits"))
        yield harness


def with_small_disk(node: Node) -> None:
    """Let a node's pods have 1 GiB of disk together; the node unmounts it when it stops.

    Only once its kubelet runs, which mounts its root anew over all that is mounted below.
    """
    pods = node.kubelet_root / "pods"
    assert not any(pods.iterdir())
    run("mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", pods)


def upload(harness: Harness, folder: Path) -> None:
    """The datasets of all tests."""
    store = harness.store
    for kind, name, count, held_out, size in (
        ("classification", "few", 64, 32, 32),
        ("classification", "classification", 1437, 360, 32),
        ("detection", "detection", 800, 100, 64),
    ):
        digits.make(kind, folder / name, count=count, held_out=held_out, size=size)
        digits.upload(
            folder / name, store.endpoint, store.bucket, f"datasets/{name}",
            store.access_key, store.secret_key,
        )  # fmt: skip
    part = bytes(128 << 20)
    for number in range(SMALL_DISK // len(part) + 1):
        store.put(f"datasets/large/images/{number}.png", part)
    for name in ("metadata.yaml", "annotations.yaml"):
        store.put(f"datasets/large/{name}", store.get(f"datasets/few/train/{name}"))
    for key in store.keys("datasets/few/train/"):
        # The small tests give no validation set: the folder's root is the training set's.
        store.put(key.replace("datasets/few/train/", "datasets/few/"), store.get(key))


@pytest.fixture(autouse=True, scope="module")
def nothing_left(harness: Harness) -> Iterator[None]:
    """The jobs of a module are gone before the next one's begin: they would take its time."""
    yield
    harness.delete_all()
