"""From the release before this one to this one and back, under jobs, by helm and by a bundle.

Runs last by its name: it leaves the operator as the others have it, and the store empty.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from examples import digits
from local_cluster.process import run
from local_cluster.programs import program
from local_cluster.settings import REGISTRY
from release import bundle
from release.build import VALUES, pins, write_sums
from release.layout import Image, read_index
from release.packages import chart
from tests.e2e.harness import DATASET_SECRET, NAMESPACE, SYSTEM, Harness, Job
from tests.support.chart import CHART, packaged
from tests.support.older import Older, last_release

PARTS = ("operator", "trainer")
MIRROR = f"{REGISTRY}/mirror"
LONG = {"training": {"maxSteps": 100_000}, "runner": {"checkpointInterval": "10s"}}


@dataclass
class Release:
    """The chart's release of helm, as its user goes on with it."""

    harness: Harness
    older: Older
    values: Path
    revisions: list[str] = field(default_factory=list)

    def helm(self, *arguments: str | Path) -> str:
        """What helm says."""
        config = f"--kubeconfig={self.harness.cluster.kubeconfig}"
        return run(program("helm"), config, "-n", SYSTEM, *arguments, timeout=600)

    def version(self) -> str:
        """Of the operator that leads: what its pod's label says."""
        pods = self.harness.core.list_namespaced_pod(
            SYSTEM, label_selector="app.kubernetes.io/name=sihl-operator"
        ).items
        (version,) = {pod.metadata.labels["app.kubernetes.io/version"] for pod in pods}
        return str(version)


@pytest.fixture
def release(harness: Harness, tmp_path: Path) -> Iterator[Release]:
    """The older release, installed afresh, with a store that outlives its pod."""
    older = last_release()
    values = {
        "operator": {**unpinned(harness), "replicas": 1},
        "dashboard": {"enabled": False},
        "store": {
            "embedded": {"persistence": {"size": "1Gi"}, "resources": {"requests": {"cpu": "50m"}}}
        },
        "namespaces": {NAMESPACE: {}},
    }
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values))
    found = Release(harness, older, file)
    harness.delete_all()
    found.helm("uninstall", "sihl", "--wait")
    disk = volume(harness, tmp_path / "store")
    words = chosen({part: older.image(harness.cluster.images, part) for part in PARTS})
    found.helm("install", "sihl", older.chart, "-f", file, *words, "--wait", "--timeout", "5m")
    yield found
    shutil.rmtree(disk, ignore_errors=True)


def volume(harness: Harness, folder: Path) -> Path:
    """A folder of node-1 as the volume that the store's claim finds."""
    folder.mkdir()
    folder.chmod(0o777)
    body = {
        "metadata": {"name": "upgrade-store"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "claimRef": {"namespace": SYSTEM, "name": "data-sihl-store-0"},
            "hostPath": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}
            ]}]}},
        },
    }  # fmt: skip
    harness.core.create_persistent_volume(body)
    return folder


def upload(harness: Harness, folder: Path) -> None:
    """The small dataset, with the keys that the older chart made."""
    harness.forget_stores()
    store = harness.store
    digits.make("classification", folder, count=64, held_out=32, size=32)
    digits.upload(folder, store.endpoint, store.bucket, "few", store.access_key, store.secret_key)
    harness.core.delete_namespaced_secret(DATASET_SECRET, NAMESPACE)
    harness.secret(NAMESPACE, DATASET_SECRET, store.access_key, store.secret_key)


@dataclass(frozen=True)
class Life:
    """What must not change of a job that trains."""

    pod: str
    restarts: int
    attempt: int


def life(harness: Harness, name: str, project: str) -> Life:
    """Of a job that runs."""
    status = harness.status(name)
    assert status["phase"] == "Running", harness.story(name)
    pod = harness.pod(project)
    restarts = sum(each.restart_count for each in pod.status.container_statuses)
    return Life(pod.metadata.uid, restarts, status["attempt"])


def trains_on(harness: Harness, name: str, project: str, before: Life) -> int:
    """Wait until a job goes on as it was, and its operator says so; returns the step it says."""
    report = harness.report(project)
    now = (report or {}).get("progress", {}).get("step") or 0

    def told() -> int:
        step = (harness.status(name).get("progress") or {}).get("step", 0)
        return int(step) if step > now else 0

    step = harness.until(told, f"{name} beyond step {now}", name)
    assert life(harness, name, project) == before
    return step


def location(harness: Harness) -> Job:
    """The dataset's place."""
    return harness.location("few/train")


def test_an_upgrade_and_a_rollback_restart_no_job_and_lose_nothing(
    harness: Harness, release: Release, tmp_path: Path
) -> None:
    upload(harness, tmp_path / "digits")
    submit = partial(harness.submit, project="q-upgrade")
    submit("upgraded", change={**LONG, "dataset": {"train": location(harness)}})
    harness.wait_stage("upgraded", "q-upgrade", "Training", step=5)
    submit("queued", change={"dataset": {"train": location(harness)}})
    before = life(harness, "upgraded", "q-upgrade")
    assert release.version() == release.older.version

    present = chosen(images(harness))
    release.helm("upgrade", "sihl", packaged(), "--reuse-values", *present, "--wait")
    assert release.version() != release.older.version
    told = {trains_on(harness, "upgraded", "q-upgrade", before)}
    assert harness.status("queued")["phase"] == "Queued"

    release.helm("rollback", "sihl", "1", "--wait")
    assert release.version() == release.older.version
    told.add(trains_on(harness, "upgraded", "q-upgrade", before))

    install_bundle(harness, release.values, tmp_path)
    assert release.version() != release.older.version
    told.add(trains_on(harness, "upgraded", "q-upgrade", before))
    harness.suspend("upgraded")
    harness.wait("upgraded", "Stopped")
    the_record_is_whole(harness, "upgraded", told, tmp_path / "checkpoint")
    ended = harness.wait("queued", "Succeeded")
    assert ended["attempt"] == 1
    assert harness.pod("q-upgrade").spec.containers[0].image.startswith(f"{MIRROR}/sihl/trainer@")


def unpinned(harness: Harness) -> Job:
    """What the tests give the operator, but for its image."""
    given = json.loads((harness.cluster.state / "e2e-values.json").read_text())["operator"]
    return {key: value for key, value in given.items() if key != "image"}


def images(harness: Harness) -> dict[str, str]:
    """The present images."""
    given = json.loads((harness.cluster.state / "e2e-values.json").read_text())
    return {part: "{repository}:{tag}".format(**given[part]["image"]) for part in PARTS}


def chosen(references: dict[str, str]) -> list[str]:
    """Images, as helm is told them."""
    words: list[str] = []
    for part, reference in references.items():
        repository, _, tag = reference.rpartition(":")
        words += ["--set", f"{part}.image.repository={repository},{part}.image.tag={tag}"]
    return words


def install_bundle(harness: Harness, values: Path, folder: Path) -> None:
    """Upgrade with what a bundle of the present chart and images brings, and nothing else."""
    release, crane = folder / "release", bundle.tools()["crane"]
    pulled = {}
    for part, reference in images(harness).items():
        layout = release / "images" / part
        run(crane, "pull", "--format=oci", reference, layout)
        pulled[part] = Image(layout, read_index(layout)[0], ())
    chart(program("helm"), CHART, release)
    (release / VALUES).write_text(pins(pulled))
    write_sums(release)
    script = bundle.make(release, folder / "bundle") / bundle.INSTALLER.name
    given = {"KUBECONFIG": str(harness.cluster.kubeconfig)}
    run(script, MIRROR, "--values", os.path.relpath(values), "--wait", timeout=600, env=given)


def the_record_is_whole(harness: Harness, name: str, told: set[int], folder: Path) -> None:
    """Each step that was told has its line, in order, and the checkpoint is later than all."""
    lines = harness.recorded_metrics(harness.record(name), 1)
    steps = [line.step for line in lines if line.kind == "train"]
    assert steps == sorted(set(steps))
    assert told <= set(steps)
    assert harness.checkpoint_holds(harness.status(name), folder).step >= steps[-1]
