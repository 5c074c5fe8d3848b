from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.runtime import ExitCode, ProgressReport, Result
from sihl_api.status import CheckpointStatus, ConditionType, ModelStatus, Phase, Progress
from sihl_operator import conditions
from sihl_operator import status as say
from sihl_operator.decision import Decision
from sihl_operator.lifecycle import decide
from sihl_operator.moment import Moment
from sihl_operator.patches import as_json
from sihl_operator.queues import in_line
from sihl_operator.reports import with_report
from sihl_operator.settings import Settings
from sihl_operator.sightings import Ages
from sihl_operator.views import JobView, PodView, parse, pod_view
from tests.support.objects import NOW, RUNNING, SPEC, Raw, ended, job, pod, raw_pod, waiting

MOMENT = Moment(NOW, Settings())
CHECKPOINT = CheckpointStatus(step=7, uri="s3://b/c/7", saved_at="2027-01-15T08:00:00Z")
MODEL = ModelStatus(uri="s3://b/model", checksum="0" * 64)
DELETING: Raw = {
    "metadata": {
        "deletionTimestamp": "2027-01-15T08:00:00Z",
        "deletionGracePeriodSeconds": 60,
        "uid": "pod-job-1",
        "namespace": "team",
        "name": "cells-runner",
    }
}


def next_phase(decision: Decision) -> Phase | None:
    return decision.status.phase if decision.status else None


def condition(decision: Decision, kind: ConditionType) -> tuple[str, str, str]:
    assert decision.status is not None
    found = conditions.condition(decision.status, kind)
    assert found is not None
    return found.status, found.reason, found.message


def seen(**ages: float) -> Moment:
    """A moment at which things have been seen to be so for so many seconds."""
    return replace(MOMENT, ages=Ages(**{"heard": 0.0, **ages}))


def starting(seconds: float) -> Moment:
    """A moment at which the pod of an attempt has been starting for so many seconds."""
    return seen(attempt=seconds, tried=seconds, progress=seconds)


def after(
    code: int, result: Result | None = None, of: JobView | None = None, **more: Any
) -> Decision:
    over = pod(
        phase="Failed" if code else "Succeeded", containers={"trainer": ended(code, result)}, **more
    )
    return decide(of or job(phase="Running"), over, MOMENT)


def begun() -> JobView:
    """A job as its admission left it a minute ago."""
    return job(phase="Starting", status=as_json(say.starting(job(phase="Queued"), NOW - 60)))


# --- before an attempt -----------------------------------------------------------------------


def test_a_new_job_is_queued_with_the_reason_why_it_waits() -> None:
    moment = replace(MOMENT, position=3, waiting=("WaitingForQueue", "text"))
    decision = decide(job(), None, moment)
    assert next_phase(decision) is Phase.QUEUED
    assert decision.status is not None
    assert decision.status.queue_position == 3
    assert condition(decision, ConditionType.ADMITTED) == ("False", "WaitingForQueue", "text")


def test_a_waiting_job_to_which_nothing_new_happens_is_not_written() -> None:
    first = decide(job(), None, MOMENT).status
    assert first is not None
    again = decide(job(status=as_json(first)), None, MOMENT)
    assert again.status is None


@pytest.mark.parametrize("name", ["Cells", "-x", "a_b", "x" * 51, "a/b"])
def test_a_queue_that_cannot_be_is_not_accepted_and_the_rule_is_told(name: str) -> None:
    decision = decide(job(annotations={"sihl.ai/queue": name}), None, MOMENT)
    status, reason, message = condition(decision, ConditionType.ACCEPTED)
    assert (status, reason) == ("False", "InvalidQueue")
    assert "lower-case" in message


def test_a_spec_that_no_trainer_takes_is_not_accepted_and_its_field_is_told() -> None:
    wrong = job(training={"maxSteps": -5})
    decision = decide(wrong, None, MOMENT)
    status, reason, message = condition(decision, ConditionType.ACCEPTED)
    assert (status, reason) == ("False", "InvalidSpec")
    assert message.startswith("spec.training.maxSteps: ")
    assert not in_line(wrong)
    assert in_line(job(training={"maxSteps": 5}))


def test_what_is_odd_about_a_job_is_told_by_a_condition_that_stays() -> None:
    training = {"maxSteps": 5, "validations": 10}
    queued = decide(job(training=training), None, MOMENT).status
    assert queued is not None
    begun = say.starting(job(status=as_json(queued), training=training), NOW)
    done = after(0, of=job(phase="Running", status=as_json(begun), training=training))
    for status in (queued, begun, done.status):
        assert status is not None
        told = conditions.condition(status, ConditionType.ACCEPTED)
        assert told is not None
        assert (told.status, told.reason) == ("True", "ValidButOdd")
        assert "Warning: training.validations is 10" in told.message


def test_a_job_suspended_while_it_waits_is_stopped_and_says_there_is_no_checkpoint() -> None:
    decision = decide(job(phase="Queued", suspend=True), None, MOMENT)
    assert next_phase(decision) is Phase.STOPPED
    assert condition(decision, ConditionType.CHECKPOINT_SAVED)[0] == "False"


def test_a_stopped_job_stays_so_while_suspended_and_queues_when_resumed() -> None:
    assert decide(job(phase="Stopped", suspend=True), None, MOMENT).status is None
    resumed = decide(job(phase="Stopped", status={"attempt": 4}), None, MOMENT)
    assert next_phase(resumed) is Phase.QUEUED
    assert resumed.status is not None
    assert resumed.status.attempt == 4


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
@pytest.mark.parametrize("suspend", [True, False])
def test_a_final_phase_is_final(phase: str, suspend: bool) -> None:
    assert decide(job(phase=phase, suspend=suspend), None, MOMENT).status is None


def test_a_failed_job_that_has_a_checkpoint_is_resumed_by_its_user_and_counts_on() -> None:
    known = {"checkpoint": CHECKPOINT.model_dump(by_alias=True), "attempt": 4, "failures": 2}
    failed = after(1, of=job(phase="Running", status=known))
    assert next_phase(failed) is Phase.FAILED
    assert "spec.suspend" in condition(failed, ConditionType.FAILED)[2]
    assert failed.status is not None
    left = as_json(failed.status)
    assert decide(job(status=left), None, MOMENT).status is None, "it is final of itself"
    stopped = decide(job(status=left, suspend=True), None, MOMENT)
    assert next_phase(stopped) is Phase.STOPPED
    assert stopped.status is not None
    assert conditions.condition(stopped.status, ConditionType.FAILED) is None
    assert condition(stopped, ConditionType.CHECKPOINT_SAVED)[0] == "True"
    queued = decide(job(status=as_json(stopped.status)), None, MOMENT).status
    assert queued is not None
    assert (queued.phase, queued.attempt, queued.checkpoint) == (Phase.QUEUED, 4, CHECKPOINT)
    assert not queued.failures, "its retries begin anew"


# --- while an attempt runs -------------------------------------------------------------------


def test_running_is_told_from_the_pod_and_from_nothing_else() -> None:
    fetching = pod(
        phase="Pending",
        init={"fetch-train": RUNNING},
        containers={"trainer": waiting("PodInitializing")},
    )
    assert decide(begun(), fetching, MOMENT).status is None
    training = pod(init={"fetch-train": ended(0)}, containers={"trainer": RUNNING})
    decision = decide(job(phase="Starting"), training, MOMENT)
    assert next_phase(decision) is Phase.RUNNING
    assert condition(decision, ConditionType.DATASET_READY)[0] == "True"


def test_once_the_trainer_runs_all_of_the_dataset_was_fetched_however_little_was_seen() -> None:
    seen_last = {"progress": {"datasetBytes": 259, "datasetTotalBytes": 272}}
    begins = decide(
        job(phase="Starting", status=seen_last), pod(containers={"trainer": RUNNING}), MOMENT
    )
    report = ProgressReport(stage="Training", progress=Progress(step=1))
    runs = pod(containers={"trainer": RUNNING})
    late = with_report(job(phase="Running", status=seen_last), runs, report, NOW)
    never = job(phase="Starting", status=seen_last)
    unseen = after(0, Result(reason="Completed", step=9, model=MODEL), of=never)
    for told in (begins.status, late, unseen.status):
        assert told is not None
        assert told.progress is not None
        assert told.progress.dataset_bytes == 272


def test_what_the_fetch_found_odd_is_told_for_as_long_as_the_job_is_there() -> None:
    odd = Result(reason="DatasetFetched", warnings=["no image has a dog", "a.png: several pages"])
    fetches = {"fetch-train": ended(0, odd), "fetch-validation": ended(0)}
    training = pod(init=fetches, containers={"trainer": RUNNING})
    told = decide(job(phase="Starting"), training, MOMENT)
    assert told.status is not None
    status, reason, message = condition(told, ConditionType.DATASET_READY)
    assert (status, reason) == ("True", "FetchedWithWarnings")
    assert message.endswith("Warnings: no image has a dog; a.png: several pages.")
    running = job(phase="Running", status=as_json(told.status))
    over = after(0, Result(reason="Completed", step=9, model=MODEL), of=running)
    status, reason, message = condition(over, ConditionType.DATASET_READY)
    assert (status, reason) == ("False", "Released")
    assert message.endswith("Warnings: no image has a dog; a.png: several pages.")


def test_a_suspended_job_is_stopping_and_its_pod_is_deleted_within_its_own_grace() -> None:
    decision = decide(
        job(phase="Running", suspend=True), pod(containers={"trainer": RUNNING}), MOMENT
    )
    assert next_phase(decision) is Phase.STOPPING
    assert decision.delete is not None
    assert (decision.delete.uid, decision.delete.grace) == ("pod-job-1", None)


KEPT = {"deletionTimestamp": "2027-01-15T08:00:00Z", "finalizers": ["example.com/backup"]}


def deleted(before: JobView, **metadata: Any) -> JobView:
    """The job, deleted and kept by somebody's finalizer."""
    return JobView({**before.raw, "metadata": {**before.raw["metadata"], **KEPT, **metadata}})


def test_a_deleted_job_that_a_finalizer_keeps_is_stopped_and_says_who_keeps_it() -> None:
    training = pod(containers={"trainer": RUNNING})
    asked = decide(deleted(job(phase="Running")), training, MOMENT)
    assert next_phase(asked) is Phase.STOPPING
    assert asked.delete is not None
    assert asked.delete.grace is None, "it saves a checkpoint first"
    result = Result(reason="Stopped", step=7, checkpoint=CHECKPOINT)
    over = after(ExitCode.STOPPED, result, deleted(job(phase="Stopping")))
    assert next_phase(over) is Phase.STOPPED
    _, reason, message = condition(over, ConditionType.ADMITTED)
    assert (reason, "example.com/backup" in message) == ("Deleted", True)
    assert over.status is not None
    left = deleted(job(status=as_json(over.status)))
    assert decide(left, None, MOMENT).status is None


@pytest.mark.parametrize("phase", [None, "Queued"])
def test_a_deleted_job_that_waits_is_in_no_line_any_more(phase: str | None) -> None:
    waits = deleted(job(phase=phase))
    assert not in_line(waits)
    assert next_phase(decide(waits, None, MOMENT)) is Phase.STOPPED


def test_the_pod_of_a_job_that_is_deleted_without_it_is_left_alone() -> None:
    orphaning = deleted(job(phase="Running"), finalizers=["orphan"])
    decision = decide(orphaning, pod(containers={"trainer": RUNNING}), MOMENT)
    assert (decision.status, decision.delete) == (None, None)


def test_a_stop_that_a_crash_of_ours_broke_off_is_taken_up_again() -> None:
    decision = decide(
        job(phase="Stopping", suspend=True), pod(containers={"trainer": RUNNING}), MOMENT
    )
    assert decision.status is None
    assert decision.delete is not None


def test_a_pod_that_others_delete_makes_the_job_stopping() -> None:
    leaving = pod(containers={"trainer": RUNNING}, **DELETING)
    assert next_phase(decide(job(phase="Running"), leaving, MOMENT)) is Phase.STOPPING


def test_a_pod_that_should_be_gone_long_since_is_forced_away() -> None:
    leaving = pod(containers={"trainer": RUNNING}, **DELETING)
    patience = 60 + MOMENT.settings.lost_node_timeout
    early = decide(job(phase="Stopping"), leaving, seen(deleting=patience - 1))
    assert (early.delete, early.after) == (None, 1)
    decision = decide(job(phase="Stopping"), leaving, seen(deleting=patience))
    assert decision.delete is not None
    assert decision.delete.grace == 0


def test_a_vanished_pod_is_no_verdict() -> None:
    decision = decide(job(phase="Running"), None, MOMENT)
    assert next_phase(decision) is Phase.QUEUED
    assert decision.confirm_absent == "cells-runner"
    stopped = decide(job(phase="Stopping", suspend=True), None, MOMENT)
    assert next_phase(stopped) is Phase.STOPPED
    assert condition(stopped, ConditionType.CHECKPOINT_SAVED)[0] == "Unknown"


def test_the_pod_of_an_attempt_that_this_leader_admitted_is_created() -> None:
    decision = decide(job(phase="Starting"), None, replace(MOMENT, creating=True))
    assert decision.create
    assert decision.status is None


# --- the end of an attempt -------------------------------------------------------------------


def test_a_job_whose_model_is_complete_has_succeeded() -> None:
    result = Result(
        reason="Completed", step=9, checkpoint=CHECKPOINT, model=MODEL, metrics={"a/b": "1"}
    )
    decision = after(0, result)
    assert next_phase(decision) is Phase.SUCCEEDED
    assert decision.status is not None
    assert decision.status.model == MODEL
    assert decision.status.metrics == {"a/b": "1"}
    assert condition(decision, ConditionType.COMPLETE)[0] == "True"


def test_success_is_not_claimed_of_a_pod_that_names_no_model() -> None:
    assert next_phase(after(0)) is not Phase.SUCCEEDED


def test_a_stop_with_its_checkpoint_is_stopped() -> None:
    result = Result(reason="Stopped", step=7, checkpoint=CHECKPOINT)
    decision = after(ExitCode.STOPPED, result, job(phase="Stopping", suspend=True))
    assert next_phase(decision) is Phase.STOPPED
    assert decision.status is not None
    assert decision.status.checkpoint == CHECKPOINT
    assert condition(decision, ConditionType.CHECKPOINT_SAVED)[0] == "True"


@pytest.mark.parametrize(("step", "event"), [(9, True), (None, False)])
def test_a_stop_that_lost_steps_is_an_event_as_well(step: int | None, event: bool) -> None:
    lost = Result(reason="RecordNotWritable", message="steps 1 to 9 are lost", step=step)
    stopping = job(phase="Stopping", suspend=True)
    decision = after(ExitCode.STOPPED_WITHOUT_CHECKPOINT, lost, stopping)
    assert (decision.notice and decision.notice.reason) == ("RecordNotWritable" if event else None)


def test_a_checkpoint_never_goes_back_to_an_earlier_step() -> None:
    older = CheckpointStatus(step=3, uri="s3://b/c/3", saved_at="2027-01-15T08:00:00Z")
    known = job(phase="Running", status={"checkpoint": CHECKPOINT.model_dump(by_alias=True)})
    decision = after(ExitCode.STOPPED, Result(reason="Stopped", checkpoint=older), known)
    assert decision.status is not None
    assert decision.status.checkpoint == CHECKPOINT


def test_a_stop_that_the_user_did_not_ask_for_goes_back_to_the_queue_uncounted() -> None:
    decision = after(ExitCode.STOPPED, Result(reason="Stopped", checkpoint=CHECKPOINT))
    assert next_phase(decision) is Phase.QUEUED
    assert decision.status is not None
    assert not decision.status.failures


@pytest.mark.parametrize("code", [ExitCode.BAD_DATA, ExitCode.BAD_CONFIG, ExitCode.OUT_OF_MEMORY])
def test_what_a_retry_cannot_help_is_not_retried(code: ExitCode) -> None:
    decision = after(code, Result(reason="DatasetTooLarge", message="the trainer's own words"))
    assert next_phase(decision) is Phase.FAILED
    assert condition(decision, ConditionType.FAILED)[1:] == (
        "DatasetTooLarge",
        "the trainer's own words",
    )


def test_a_limit_of_memory_below_what_a_container_takes_to_start_is_final() -> None:
    text = "container init was OOM-killed (memory limit too low?)"
    state = {"fetch-train": ended(128, reason="StartError", text=text)}
    decision = decide(job(phase="Starting"), pod(phase="Failed", init=state), MOMENT)
    assert next_phase(decision) is Phase.FAILED
    assert "resources.limits.memory" in condition(decision, ConditionType.FAILED)[2]


def test_an_image_that_has_no_trainer_is_counted() -> None:
    text = 'exec: "sihl-trainer": executable file not found in $PATH'
    state = {"fetch-train": ended(128, reason="StartError", text=text)}
    decision = decide(job(phase="Starting"), pod(phase="Failed", init=state), MOMENT)
    assert decision.status is not None
    assert decision.status.failures == 1


def test_the_kernels_kill_for_memory_fails_with_the_field_to_change() -> None:
    state, limits = ended(137, reason="OOMKilled"), {"memory": "1Gi"}
    for killed in (
        pod(phase="Failed", limits=limits, init={"fetch-train": state}),
        pod(phase="Failed", limits=limits, containers={"trainer": state}),
    ):
        decision = decide(job(phase="Running"), killed, MOMENT)
        assert next_phase(decision) is Phase.FAILED
        assert "resources.limits.memory" in condition(decision, ConditionType.FAILED)[2]


SHORT = "The node was low on resource: memory. Container trainer was using 9Gi, request is 2Gi."
BY_THE_NODE = Result(reason="NodeOutOfMemory", message="the node's ran out.", checkpoint=CHECKPOINT)


@pytest.mark.parametrize(
    "killed",
    [
        pod(phase="Failed", containers={"trainer": ended(137, reason="OOMKilled")}),
        pod(phase="Failed", containers={"trainer": ended(137)}),
        pod(phase="Failed", init={"fetch-train": ended(137, reason="OOMKilled")}),
        pod(phase="Failed", limits={"cpu": "1"}, init={"fetch-train": ended(137)}),
        pod(phase="Failed", containers={"trainer": ended(ExitCode.CRASHED, BY_THE_NODE)}),
        pod(phase="Failed", limits={"memory": "1Gi"},
            containers={"trainer": ended(ExitCode.CRASHED, BY_THE_NODE)}),
        pod(phase="Failed", reason="Evicted", message=SHORT),
        pod(phase="Failed", reason="Evicted", message=SHORT, conditions=[
            {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}]),
        pod(phase="Failed", reason="Evicted", message=SHORT, limits={"memory": "64Gi"},
            containers={"trainer": ended(137, reason="OOMKilled")}),
        pod(phase="Failed", reason="Evicted", message=SHORT,
            containers={"trainer": ended(ExitCode.STOPPED, Result(reason="Stopped"))}),
    ],
)  # fmt: skip
def test_a_nodes_memory_that_runs_out_is_waited_for_less_and_less_often(killed: PodView) -> None:
    current, pauses = job(phase="Running"), []
    for _ in range(12):
        decision = decide(current, killed, seen(obstacle=24 * 3600.0))
        assert decision.status is not None
        assert (decision.status.phase, decision.status.failures) == (Phase.QUEUED, None)
        reason, message = condition(decision, ConditionType.ADMITTED)[1:]
        assert reason == "NodeOutOfMemory"
        assert "spec.runner.resources.requests.memory" in message
        assert decision.after is not None
        pauses.append(decision.after)
        current = job(phase="Running", status=as_json(decision.status) | {"phase": "Running"})
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (30.0, 1800.0), "a job too large for a node does not spin"


@pytest.mark.parametrize(
    "killed",
    [
        pod(phase="Failed", containers={"trainer": ended(137)}, **DELETING),
        pod(phase="Failed", reason="NodeShutdown", containers={"trainer": ended(137)}),
    ],
)
def test_what_was_asked_to_end_and_then_killed_is_not_said_to_have_lacked_memory(
    killed: PodView,
) -> None:
    decision = decide(job(phase="Running"), killed, MOMENT)
    assert next_phase(decision) is Phase.QUEUED
    assert condition(decision, ConditionType.ADMITTED)[1] != "NodeOutOfMemory"


def test_a_stop_that_saved_is_one_though_the_node_lacked_memory() -> None:
    result = Result(reason="Stopped", checkpoint=CHECKPOINT)
    trainer = {"trainer": ended(ExitCode.STOPPED, result)}
    over = pod(phase="Failed", reason="Evicted", message=SHORT, containers=trainer)
    decision = decide(job(phase="Stopping", suspend=True), over, MOMENT)
    assert next_phase(decision) is Phase.STOPPED
    assert condition(decision, ConditionType.CHECKPOINT_SAVED)[1] == "Saved"


def test_an_eviction_for_the_datasets_size_fails_with_the_field_to_change() -> None:
    evicted = pod(
        phase="Failed", reason="Evicted",
        message='Usage of EmptyDir volume "dataset" exceeds the limit "1Gi".',
    )  # fmt: skip
    decision = decide(job(phase="Starting"), evicted, MOMENT)
    assert next_phase(decision) is Phase.FAILED
    assert "datasetSize" in condition(decision, ConditionType.FAILED)[2]


@pytest.mark.parametrize(
    ("said", "reason", "words"),
    [
        ('Usage of EmptyDir volume "scratch" exceeds the limit "2Gi".', "DiskLimitExceeded",
         "scratchSize in the chart's operator.settings"),
        ('Usage of EmptyDir volume "shm" exceeds the limit "1Gi".', "DiskLimitExceeded",
         "sharedMemory in the chart's operator.settings"),
        ('Usage of EmptyDir volume "istio-data" exceeds the limit "1Gi".', "NeighbourFailed",
         "The volume istio-data, which the cluster put"),
        ('Container istio-proxy exceeded its local ephemeral storage limit "1Gi".',
         "NeighbourFailed", "The container istio-proxy, which the cluster put"),
        ("The node was low on resource: ephemeral-storage. Container trainer was using 9Gi.",
         "NodeOutOfDisk", "spec.runner.resources.requests.ephemeral-storage"),
        ("The node was low on resource: inodes.", "NodeOutOfDisk", "node-1 ran out of local disk"),
        ("The node was low on resource: pids.", "Evicted", "pids"),
    ],
)  # fmt: skip
def test_an_eviction_for_no_limit_of_the_jobs_own_is_waited_for_less_and_less_often(
    said: str, reason: str, words: str
) -> None:
    evicted = pod(
        phase="Failed", reason="Evicted", message=said, containers={"trainer": ended(137)}
    )
    decision = decide(job(phase="Running"), evicted, MOMENT)
    assert next_phase(decision) is Phase.QUEUED
    assert decision.status is not None
    assert decision.status.failures is None
    assert decision.after, "at once it would fill the same node again"
    assert condition(decision, ConditionType.ADMITTED)[1] == reason
    assert words in condition(decision, ConditionType.ADMITTED)[2]


@pytest.mark.parametrize(
    "said",
    [
        'Container trainer exceeded its local ephemeral storage limit "10Gi".',
        "Pod ephemeral local storage usage exceeds the total limit of containers 10Gi.",
    ],
)
def test_an_eviction_for_the_jobs_own_limit_of_disk_fails_with_the_field_to_change(
    said: str,
) -> None:
    evicted = pod(phase="Failed", reason="Evicted", message=said)
    decision = decide(job(phase="Running"), evicted, MOMENT)
    assert next_phase(decision) is Phase.FAILED
    assert "ephemeral-storage" in condition(decision, ConditionType.FAILED)[2]


def test_a_pod_that_failed_before_anything_of_the_jobs_ran_is_not_counted() -> None:
    decision = decide(job(phase="Starting"), pod(phase="Failed"), MOMENT)
    assert next_phase(decision) is Phase.QUEUED
    assert decision.status is not None
    assert decision.status.failures is None
    assert decision.after


def test_an_image_of_another_architecture_is_called_that() -> None:
    said = "exec /usr/local/bin/sihl-trainer: exec format error"
    failed = pod(phase="Failed", init={"fetch-train": ended(255, text=said)})
    decision = decide(job(phase="Starting"), failed, MOMENT)
    assert "kubernetes.io/arch" in condition(decision, ConditionType.ADMITTED)[2]


DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}


@pytest.mark.parametrize(
    "disrupted",
    [
        pod(phase="Failed", reason="NodeShutdown"),
        pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
        pod(phase="Failed", conditions=[DISRUPTED]),
        pod(phase="Failed", containers={"trainer": ended(ExitCode.UNAVAILABLE)}),
        pod(phase="Failed", reason="DeadlineExceeded", containers={"trainer": ended(137)}),
        pod(phase="Failed", containers={"trainer": ended(137, reason="ContainerStatusUnknown")}),
        pod(phase="Failed", containers={"trainer": ended(128, reason="StartError",
            text="nvidia-container-cli: initialization error: driver not loaded")}),
        pod(gone=True, containers={"trainer": RUNNING}, **DELETING),
    ],
)  # fmt: skip
def test_what_is_not_the_jobs_fault_is_retried_without_counting(disrupted: PodView) -> None:
    decision = decide(job(phase="Running"), disrupted, MOMENT)
    assert next_phase(decision) is Phase.QUEUED
    assert decision.status is not None
    assert not decision.status.failures


def test_failures_are_counted_with_a_growing_backoff_and_then_final() -> None:
    pauses = []
    current = job(phase="Running")
    for failures in (1, 2):
        decision = after(1, of=current)
        assert next_phase(decision) is Phase.QUEUED
        assert decision.status is not None
        assert decision.status.failures == failures
        assert decision.after is not None
        pauses.append(decision.after)
        current = job(phase="Running", status={"failures": failures})
    assert pauses == sorted(set(pauses))
    last = after(1, of=current)
    assert next_phase(last) is Phase.FAILED
    assert "retries: 2" in condition(last, ConditionType.FAILED)[2]


# --- what keeps a pod from starting ----------------------------------------------------------

SECRETLESS = waiting("CreateContainerConfigError", 'secret "sihl-store" not found')
UNSCHEDULABLE = {
    "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes",
}  # fmt: skip


@pytest.mark.parametrize(
    ("hindered", "words"),
    [
        (pod(phase="Pending", init={"fetch-train": waiting("ImagePullBackOff", "no such image")}),
         ("spec.runner.image", "no such image")),
        (pod(phase="Pending", containers={"trainer": SECRETLESS}),
         ("sihl-store", "accessKeyId", "team")),
        (pod(phase="Pending", node="", conditions=[UNSCHEDULABLE]),
         ("0/2 nodes",)),
    ],
)  # fmt: skip
def test_a_hindrance_is_told_at_once_and_given_back_in_time(
    hindered: PodView, words: tuple[str, ...]
) -> None:
    told = decide(job(phase="Starting"), hindered, starting(10))
    assert next_phase(told) is Phase.STARTING
    message = condition(told, ConditionType.DATASET_READY)[2]
    assert all(word in message for word in words)
    late = decide(job(phase="Starting"), hindered, starting(500))
    assert next_phase(late) is Phase.QUEUED
    assert late.delete is not None


OWN_IMAGE = {**SPEC["runner"], "image": "registry/none:1"}
AWAY = {"fetch-train": waiting("ImagePullBackOff", "dial tcp: i/o timeout")}


def test_what_is_not_the_jobs_fault_is_waited_for_without_end_and_less_and_less_often() -> None:
    away, now, left = pod(phase="Pending", init=AWAY), NOW, as_json(begun().status)
    rounds = []
    for _ in range(12):
        told = decide(job(status=left), away, replace(starting(0), now=now))
        assert told.status is not None
        assert told.after is not None
        late = replace(starting(told.after), now=now + told.after)
        given = decide(job(status=as_json(told.status)), away, late)
        assert given.status is not None
        assert given.after is not None
        assert (given.status.phase, given.status.failures) == (Phase.QUEUED, None)
        rounds.append((given.after, told.after))
        now += told.after + given.after
        left = as_json(say.starting(job(status=as_json(given.status)), now))
    assert given.status is not None
    met = given.status.obstacle
    assert met is not None
    assert (met.reason, met.attempts, parse(met.since)) == ("ImageNotPulled", 12, NOW)
    assert f"since {met.since}" in condition(given, ConditionType.ADMITTED)[2]
    pauses = [pause for pause, _ in rounds]
    assert pauses[0] == MOMENT.settings.unavailable_backoff
    assert pauses == sorted(pauses)
    pause, held = rounds[-1]
    assert held / (pause + held) < 0.05, "the rest of the time others have the GPU"


def attempts_of_a_day(result: Result, code: ExitCode, held: float) -> list[tuple[float, JobView]]:
    """When each attempt ended, `held` seconds after it began, and the job as it was left."""
    found, now, left = [], NOW, job(status=as_json(begun().status))
    while now < NOW + 86400 and left.phase is not Phase.FAILED:
        over = pod(phase="Failed", init={"fetch-train": ended(code, result)})
        decision = decide(left, over, replace(seen(obstacle=now - NOW), now=now))
        assert decision.status is not None
        waits = job(status=as_json(decision.status))
        found.append((now, waits))
        now += (decision.after or 0) + held
        left = job(status=as_json(say.starting(waits, now)))
        left = waits if waits.phase is Phase.FAILED else left
    return found


@pytest.mark.parametrize("code", [ExitCode.UNAVAILABLE, ExitCode.REFUSED])
def test_a_store_of_the_platforms_is_waited_for_and_its_gpu_is_others_most_of_the_time(
    code: ExitCode,
) -> None:
    away = Result(reason="StoreUnavailable", message="It does not answer.")
    attempts = attempts_of_a_day(away, code, held=80)
    assert all(left.phase is Phase.QUEUED and not left.failures for _, left in attempts)
    after_an_hour = [at for at, _ in attempts if at >= NOW + 3600]
    assert 80 * len(after_an_hour) / (86400 - 3600) < 0.05
    assert len(after_an_hour) > 40  # and it is found soon once it is back


def test_a_dataset_that_is_away_is_counted_after_an_hour() -> None:
    # The job may name it wrongly, and cannot be corrected.
    away = Result(reason="DatasetUnavailable", message="It does not answer.")
    attempts = attempts_of_a_day(away, ExitCode.UNAVAILABLE, held=80)
    within = [left for at, left in attempts if at < NOW + 3600]
    assert not any(left.failures for left in within)
    counted = [left for at, left in attempts if at >= NOW + 3600]
    assert [left.failures for left in counted] == [1, 2, 3]
    assert [left.phase for left in counted[-2:]] == [Phase.QUEUED, Phase.FAILED]
    told = conditions.condition(counted[0].status, ConditionType.ADMITTED)
    assert told is not None
    assert "failure 1, to be retried up to 2 times" in told.message


def test_a_job_that_waits_for_its_turn_still_says_what_was_in_its_way() -> None:
    met = {"reason": "PodDenied", "since": "2027-01-15T07:00:00Z", "attempts": 3}
    turn = replace(MOMENT, waiting=("WaitingForQueue", "Other jobs come first."))
    decision = decide(job(phase="Queued", status={"obstacle": met}), None, turn)
    _, reason, message = condition(decision, ConditionType.ADMITTED)
    assert reason == "WaitingForQueue"
    assert message.startswith("Other jobs come first. ")
    assert "PodDenied" in message
    assert "2027-01-15T07:00:00Z" in message


@pytest.mark.parametrize("attempts", [0, 3])
def test_what_cost_no_attempt_is_forgotten_when_the_trainer_runs(attempts: int) -> None:
    met = {"reason": "SandboxNotCreated", "since": "2027-01-15T07:00:00Z", "attempts": attempts}
    starting = job(phase="Starting", status={"obstacle": met})
    decision = decide(starting, pod(containers={"trainer": RUNNING}), MOMENT)
    assert decision.status is not None
    assert bool(decision.status.obstacle) is (attempts > 0), "it may be met again until it is saved"


def test_what_is_no_longer_in_the_way_is_forgotten_once_a_checkpoint_is_saved() -> None:
    met = {"reason": "ImageNotPulled", "since": "2027-01-15T07:00:00Z", "attempts": 3}
    result = Result(reason="Stopped", step=7, checkpoint=CHECKPOINT)
    decision = after(ExitCode.STOPPED, result, job(phase="Running", status={"obstacle": met}))
    assert decision.status is not None
    assert decision.status.obstacle is None


def test_an_image_that_does_not_exist_is_counted_and_then_final() -> None:
    none = pod(phase="Pending", init={"fetch-train": waiting("ErrImagePull", "x: not found")})
    late = starting(1000)
    first = decide(job(phase="Starting", runner=OWN_IMAGE), none, late)
    assert first.status is not None
    assert (first.status.phase, first.status.failures) == (Phase.QUEUED, 1)
    last = decide(job(phase="Starting", runner=OWN_IMAGE, status={"failures": 2}), none, late)
    assert next_phase(last) is Phase.FAILED


def test_a_gated_pod_keeps_its_place_in_whosoever_line_it_is() -> None:
    gated = pod(phase="Pending", node="", gates=("kueue.x-k8s.io/admission",))
    told = decide(begun(), gated, starting(86400))
    assert next_phase(told) is Phase.STARTING
    assert (told.after, told.delete) == (None, None)
    assert condition(told, ConditionType.DATASET_READY)[1] == "SchedulingGated"
    fetching = pod(phase="Pending", init={"fetch-train": RUNNING})
    begins = decide(begun(), fetching, seen(attempt=86401, tried=1, progress=86401))
    assert (begins.status, begins.after) == (None, 599), "its startTimeout runs from then on"


def test_a_sandbox_that_lacks_is_told_after_a_moment_and_is_never_the_datasets_fault() -> None:
    lacking = pod(
        phase="Pending", init={"fetch-train": waiting("PodInitializing")},
        conditions=[{"type": "PodReadyToStartContainers", "status": "False"}],
    )  # fmt: skip
    at_once = decide(begun(), lacking, starting(5))
    assert at_once.status is None, "a node takes some seconds, and the API server has other work"
    assert at_once.after is not None
    told = decide(begun(), lacking, starting(5 + at_once.after))
    assert condition(told, ConditionType.DATASET_READY)[1] == "SandboxNotCreated"
    brief = job(phase="Starting", runner={**SPEC["runner"], "startTimeout": "5s", "retries": 0})
    over = decide(brief, lacking, starting(60))
    assert next_phase(over) is Phase.QUEUED
    assert "dataset takes so long" not in condition(over, ConditionType.ADMITTED)[2]


@pytest.mark.parametrize(
    ("asked_about", "tells"),
    [
        (pod(phase="Pending", node="", conditions=[UNSCHEDULABLE]), False),
        (pod(phase="Pending", init={"fetch-train": waiting("PodInitializing")}), False),
        (pod(phase="Pending", init=AWAY), True),
        (pod(phase="Pending", init={"fetch-train": RUNNING}), True),
        (pod(phase="Pending", node="", gates=("kueue.x-k8s.io/admission",)), True),
    ],
)
def test_others_are_asked_of_a_pod_that_does_not_say_why_it_does_not_start_and_not_too_often(
    asked_about: PodView, tells: bool
) -> None:
    def inquires(**ages: float) -> bool:
        return decide(begun(), asked_about, seen(**ages)).inquire is not None

    assert inquires(tried=10, heard=math.inf) is not tells
    assert inquires(tried=75, heard=60) is not tells
    assert not inquires(tried=9, heard=math.inf)
    assert not inquires(tried=74, heard=59)


@pytest.mark.parametrize(("node", "who"), [("", "scheduler"), ("node-1", "kubelet")])
def test_a_pod_that_nobody_takes_up_is_told_and_given_back_as_any_other(
    node: str, who: str
) -> None:
    unseen = pod(phase="Pending", node=node)
    assert decide(begun(), unseen, seen(tried=9)).status is None
    told = decide(begun(), unseen, seen(tried=10))
    _, reason, message = condition(told, ConditionType.DATASET_READY)
    assert reason == "PodNotStarted"
    assert who in message
    given = decide(begun(), unseen, seen(tried=120, progress=120))
    assert next_phase(given) is Phase.QUEUED


@pytest.mark.parametrize("node", ["", "node-1"])
def test_a_start_of_which_nothing_ever_ran_is_not_counted(node: str) -> None:
    unseen = pod(phase="Pending", node=node)
    decision = decide(begun(), unseen, starting(3600))
    assert next_phase(decision) is Phase.QUEUED
    assert decision.status is not None
    assert not decision.status.failures


def test_what_is_missing_after_a_long_fetch_is_waited_for_as_what_is_missing_before() -> None:
    secretless = pod(
        phase="Pending", init={"fetch-train": ended(0)}, containers={"trainer": SECRETLESS}
    )
    told = decide(job(phase="Starting"), secretless, seen(attempt=300, tried=300, progress=30))
    assert (next_phase(told), told.after) == (Phase.STARTING, 90)
    late = decide(job(phase="Starting"), secretless, seen(attempt=390, tried=390, progress=120))
    assert next_phase(late) is Phase.QUEUED


def test_a_start_that_takes_too_long_is_given_back() -> None:
    slow = pod(phase="Pending", init={"fetch-train": RUNNING})
    soon = decide(begun(), slow, starting(590))
    assert (soon.status, soon.after) == (None, 10)
    late = decide(begun(), slow, starting(600))
    assert next_phase(late) is Phase.QUEUED
    assert "startTimeout" in condition(late, ConditionType.ADMITTED)[2]


def test_what_kept_a_pod_from_starting_is_no_longer_said_once_it_is_over() -> None:
    hindrance = pod(phase="Pending", node="", conditions=[UNSCHEDULABLE])
    told = decide(job(phase="Starting"), hindrance, MOMENT).status
    assert told is not None
    known = job(phase="Starting", status=as_json(told))
    fetching = pod(phase="Pending", init={"fetch-train": RUNNING})
    over = decide(known, fetching, MOMENT)
    assert condition(over, ConditionType.DATASET_READY)[:2] == ("False", "NotFetched")


# --- between the end of the trainer and that of its pod ---------------------------------------


def trained(code: int = 0, **more: Any) -> PodView:
    """The kubelet tells that a container has ended before it says so of the pod."""
    result = Result(reason="Completed", model=MODEL) if code == 0 else Result(reason="BadData")
    return pod(phase="Running", containers={"trainer": ended(code, result), **more})


def test_a_trainer_that_has_ended_after_a_long_time_is_not_taken_for_one_that_never_started() -> (
    None
):
    long_since = seen(attempt=86400, progress=10, decided=10)
    decision = decide(job(phase="Running"), trained(), long_since)
    assert decision.status is None
    assert decision.delete is None
    assert decision.after is not None
    at_once = decide(job(phase="Starting"), trained(), long_since)
    assert at_once.status is None


STATES = st.sampled_from([RUNNING, waiting("PodInitializing"), SECRETLESS, ended(0), ended(1)])


@given(
    phase=st.sampled_from(["Pending", "Running", "Unknown"]),
    fetch=STATES,
    trainer=STATES,
    age=st.floats(0, 10**6),
)
def test_a_job_that_runs_is_never_given_back_before_its_pod_has_ended(
    phase: str, fetch: Raw, trainer: Raw, age: float
) -> None:
    shown = pod(phase=phase, init={"fetch-train": fetch}, containers={"trainer": trainer})
    decision = decide(job(phase="Running"), shown, starting(age))
    assert decision.status is None


@pytest.mark.parametrize("code", [0, ExitCode.BAD_DATA])
def test_what_others_run_beside_the_trainer_is_asked_to_end_after_it(code: int) -> None:
    beside = trained(code, proxy=RUNNING)
    waits = decide(job(phase="Running"), beside, MOMENT)
    assert waits.delete is None
    assert waits.after is not None
    asked = decide(job(phase="Running"), beside, seen(decided=waits.after))
    assert asked.status is None
    assert asked.delete is not None
    assert asked.delete.grace is None
    ended_too = trained(code, proxy=ended(143))
    gone = replace(ended_too, gone=True, deleting=True)
    decision = decide(job(phase="Stopping"), gone, MOMENT)
    assert next_phase(decision) is (Phase.FAILED if code else Phase.SUCCEEDED)


@pytest.mark.parametrize("container", ["fetch-train", "trainer"])
def test_a_container_that_the_cluster_starts_again_has_ended_the_attempt(container: str) -> None:
    bad = ended(ExitCode.BAD_DATA, Result(reason="DatasetMalformed", message="line 3"))
    again = raw_pod(phase="Running", init={"fetch-train": ended(0)})
    key = "initContainerStatuses" if container == "fetch-train" else "containerStatuses"
    again["spec"]["restartPolicy"] = "Always"
    again["status"][key] = [
        {"name": container, "state": waiting("CrashLoopBackOff"), "lastState": bad}
    ]
    asked = decide(job(phase="Starting"), pod_view(again), seen(decided=3600))
    assert asked.status is None
    assert asked.delete is not None
    decision = decide(job(phase="Stopping"), pod_view(again, gone=True), MOMENT)
    assert condition(decision, ConditionType.FAILED)[1] == "DatasetMalformed"


@pytest.mark.parametrize(
    "code", [ExitCode.STOPPED, ExitCode.STOPPED_WITHOUT_CHECKPOINT, ExitCode.BAD_DATA + 72]
)
def test_a_pod_whose_time_the_cluster_has_limited_is_tried_less_and_less_often(code: int) -> None:
    over = pod(
        phase="Failed", reason="DeadlineExceeded",
        containers={"trainer": ended(code, Result(reason="Stopped"))},
    )  # fmt: skip
    decision = decide(job(phase="Running"), over, MOMENT)
    assert decision.after
    assert decision.status is not None
    assert decision.status.failures is None
    _, reason, message = condition(decision, ConditionType.ADMITTED)
    assert reason == "DeadlineExceeded"
    assert "activeDeadlineSeconds" in message


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_how_a_container_that_others_put_beside_the_trainer_ends_is_no_verdict(phase: str) -> None:
    done = ended(0, Result(reason="Completed", model=MODEL))
    served = pod(phase=phase, init={"istio-proxy": ended(143)}, containers={"trainer": done})
    assert next_phase(decide(job(phase="Running"), served, MOMENT)) is Phase.SUCCEEDED
    killed = pod(
        phase=phase, init={"istio-proxy": ended(137, reason="OOMKilled")},
        containers={"trainer": ended(ExitCode.BAD_DATA, Result(reason="DatasetMalformed"))},
    )  # fmt: skip
    failed = decide(job(phase="Running"), killed, MOMENT)
    assert condition(failed, ConditionType.FAILED)[1] == "DatasetMalformed"


def test_a_container_of_others_that_kept_the_trainer_from_starting_is_named_and_not_counted() -> (
    None
):
    failed = pod(phase="Failed", init={"vault-agent": ended(1, text="no such role")})
    decision = decide(job(phase="Starting"), failed, MOMENT)
    assert next_phase(decision) is Phase.QUEUED
    assert decision.status is not None
    assert not decision.status.failures
    message = condition(decision, ConditionType.ADMITTED)[2]
    assert "vault-agent" in message
    assert "no such role" in message


# --- what comes again and again ---------------------------------------------------------------


@pytest.mark.parametrize(
    "reason",
    [
        "UnexpectedAdmissionError",
        "OutOfnvidia.com/gpu",
        "NodeLost",
        "TopologyAffinityError",
        "SysctlForbidden",
        "Evicted",
    ],
)
def test_a_pod_that_a_node_refuses_at_once_is_not_made_again_at_once(reason: str) -> None:
    decision = decide(job(phase="Starting"), pod(phase="Failed", reason=reason), MOMENT)
    assert next_phase(decision) is Phase.QUEUED
    assert decision.status is not None
    assert not decision.status.failures
    assert decision.after == MOMENT.settings.unavailable_backoff
    assert decision.status.retry_after


def test_a_pod_that_the_api_server_does_not_create_is_given_back_uncounted_in_time() -> None:
    creating = replace(MOMENT, creating=True)
    assert decide(job(phase="Starting"), None, creating).create
    late = decide(job(phase="Starting"), None, replace(creating, ages=Ages(attempt=600)))
    assert next_phase(late) is Phase.QUEUED
    assert late.status is not None
    assert not late.status.failures
    assert late.status.retry_after
    assert late.confirm_absent == "cells-runner", "an answer that was lost may have been a yes"


def test_a_job_that_has_ended_no_longer_says_that_it_has_the_queue() -> None:
    admitted = {"type": "Admitted", "status": "True", "reason": "Admitted", "message": "",
                "lastTransitionTime": "2027-01-15T07:00:00Z"}  # fmt: skip
    running = job(phase="Running", status={"conditions": [admitted]})
    for code, result in ((0, Result(reason="Completed", model=MODEL)), (65, None)):
        assert condition(after(code, result, running), ConditionType.ADMITTED)[0] == "False"
