"""A node's disk that fills up while a job trains: nothing that was saved is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.harness import NAMESPACE, Harness, Job
from tests.support.disk import crowd, fill

NODE = "node-2"
"""All of its pods have 1 GiB of disk together: datasets, scratch, termination logs."""
THERE: Job = {"nodeSelector": {"kubernetes.io/hostname": NODE}}
TOLD = 12
"""Losses are told once a second, at most, and shipped every five: enough to be shipped twice."""
LONG: Job = {"maxSteps": 100_000, "validations": 1}


@contextmanager
def full(harness: Harness) -> Iterator[Path]:
    """The file by which others leave nothing of the node's disk; no new pods come there.

    It lies beside the pods' folders, because a pod that outgrows its own share is evicted.
    """
    filler = harness.cluster.nodes[1].kubelet_root / "pods" / "filler"
    harness.cluster.kubectl("cordon", NODE)
    try:
        fill(filler)
        yield filler
    finally:
        filler.unlink(missing_ok=True)
        harness.cluster.kubectl("uncordon", NODE)


def trains_there(harness: Harness, name: str, spec: Job) -> str:
    """Submit a job, and return its pod's uid once it trains with its dataset on the small disk."""
    harness.submit(name, f"q-{name}", {**spec, "runner": {**THERE, **spec["runner"]}})
    harness.wait_stage(name, f"q-{name}", "Training", step=2)
    uid: str = harness.pod(f"q-{name}").metadata.uid
    harness.has_dataset(uid)
    return uid


def events(harness: Harness, name: str) -> list[str]:
    """What was said of a job."""
    found = harness.core.list_namespaced_event(
        NAMESPACE, field_selector=f"involvedObject.kind=TrainingJob,involvedObject.name={name}"
    ).items
    return [event.message for event in found]


def step_of(harness: Harness, queue: str) -> int:
    """The last step that a queue's pod has told of."""
    report = harness.until(lambda: harness.report(queue), f"a report of {queue}")
    return int(report["progress"]["step"])


def test_an_attempt_whose_disk_is_full_says_so_and_the_next_resumes_from_what_was_saved(
    harness: Harness, tmp_path: Path
) -> None:
    often = {"training": LONG, "runner": {"checkpointInterval": "5s"}}
    pod, record = trains_there(harness, "full", often), harness.record("full")
    harness.until(
        lambda: (harness.report("q-full") or {}).get("checkpoint"), "a checkpoint", "full"
    )
    scratch = harness.dataset_folders(pod)[0].with_name("scratch")
    with full(harness) as filler:
        harness.until(lambda: crowd(filler, scratch), "a disk that stays full", "full")
        harness.until(lambda: harness.status("full").get("failures"), "a failure", "full")
        said = harness.until(
            lambda: [text for text in events(harness, "full") if "No space left" in text],
            "an event that says so", "full",
        )  # fmt: skip
        status = harness.status("full")
        saved = harness.checkpoint_holds(status, tmp_path / "status").step
        assert harness.latest_checkpoint(record.attempt(1), tmp_path / "latest").step == saved
        for text in (
            "No space left on device", "choose nodes with larger disks by runner.nodeSelector",
            f"The checkpoint of step {saved} stands", "Failure 1, to be retried up to 1 times",
        ):  # fmt: skip
            assert text in said[0]
        assert "No space left on device" in harness.recorded_log(record, 1)
        harness.until(lambda: not harness.dataset_folders(pod), "its dataset is gone", "full")
    harness.wait_stage("full", "q-full", "Training", step=saved + 1)
    harness.suspend("full")
    status = harness.wait("full", "Stopped")
    assert (status["attempt"], status["failures"]) == (2, 1)
    assert f"resuming at step {saved}\n" in harness.recorded_log(record, 2)
    assert harness.checkpoint_holds(status, tmp_path / "stopped").step > saved


def test_a_disk_that_is_full_while_nothing_needs_it_costs_neither_the_job_nor_its_record(
    harness: Harness, tmp_path: Path
) -> None:
    calm = {"training": LONG, "runner": {"checkpointInterval": "1h"}}
    pod, record = trains_there(harness, "calm", calm), harness.record("calm")
    told: set[int] = set()
    with full(harness) as filler:

        def often() -> bool:
            fill(filler)  # with what the trainer has given back meanwhile, too
            told.add(step_of(harness, "q-calm"))
            return len(told) >= TOLD

        harness.until(often, "progress while the disk is full", "calm")
    harness.suspend("calm")
    status = harness.wait("calm", "Stopped")
    assert (status["attempt"], status.get("failures", 0)) == (1, 0)
    assert harness.checkpoint_holds(status, tmp_path).step > max(told)
    lines = harness.recorded_metrics(record, 1)
    assert told <= {line.step for line in lines if line.kind == "train"}
    harness.until(lambda: not harness.dataset_folders(pod), "its dataset is gone", "calm")


def test_a_stop_that_finds_the_disk_full_says_that_it_saved_nothing_and_why(
    harness: Harness,
) -> None:
    pod = trains_there(harness, "stop-full", {"training": LONG, "runner": {}})
    with full(harness):
        harness.suspend("stop-full")
        status = harness.wait("stop-full", "Stopped")
        assert status.get("failures", 0) == 0
        assert "checkpoint" not in status
        saved = harness.condition("stop-full", "CheckpointSaved")
        assert (saved["status"], saved["reason"]) == ("False", "DiskFull")
        assert "No space left on device" in " ".join(c["message"] for c in status["conditions"])
        harness.until(lambda: not harness.dataset_folders(pod), "its dataset is gone", "stop-full")
