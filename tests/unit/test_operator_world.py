from __future__ import annotations

import math
from decimal import Decimal

import pytest

from sihl_operator.capacity import TO_COME, reckoned
from sihl_operator.pod import render_pod
from sihl_operator.settings import Settings
from sihl_operator.world import World
from tests.support.objects import RUNNING, job, raw_node, raw_pod


def world() -> World:
    seen = World()
    seen.saw_job(job(phase="Running", version=5).raw)
    seen.saw_pod(raw_pod(version=6, containers={"trainer": RUNNING}))
    return seen


def test_the_newer_version_wins_whichever_way_it_came() -> None:
    seen = world()
    seen.saw_job(job(phase="Starting", version=4).raw)
    assert seen.jobs["team", "job"].resource_version == "5"
    seen.saw_job(job(phase="Stopping", version=7).raw)
    assert seen.jobs["team", "job"].resource_version == "7"


def test_a_deleted_pod_leaves_its_last_state_for_the_jobs_verdict() -> None:
    seen = world()
    seen.saw_pod(raw_pod(version=8, phase="Failed"), deleted=True)
    pod = seen.pod_of(seen.jobs["team", "job"])
    assert pod is not None
    assert pod.gone
    assert pod.ended


def test_a_pod_of_another_attempt_is_not_the_jobs() -> None:
    seen = world()
    seen.saw_pod(raw_pod(version=9, attempt=2))
    assert seen.pod_of(seen.jobs["team", "job"]) is None


@pytest.mark.parametrize(
    "labels", [{}, {"sihl.ai/attempt": "9"}, {"sihl.ai/job-uid": "another", "sihl.ai/queue": ""}]
)
def test_whatever_becomes_of_its_labels_a_pod_serves_the_attempt_it_was_made_for(
    labels: dict[str, str],
) -> None:
    seen, asks = World(), job(phase="Running", version=5)
    seen.saw_job(asks.raw)
    made = render_pod(asks, asks.attempt, "cells", Settings())
    shown = raw_pod(version=6, containers={"trainer": RUNNING})
    made["metadata"] = {**shown["metadata"], **made["metadata"], "labels": labels}
    seen.saw_pod({**made, "status": shown["status"]})
    pod = seen.pod_of(seen.jobs["team", "job"])
    assert pod is not None
    assert (pod.queue, pod.owned) == ("cells", True)
    assert seen.foreign == set()


def test_a_list_takes_away_what_a_watch_left_behind() -> None:
    seen = world()
    seen.saw_all("pod", [], "20")
    seen.saw_all("job", [], "20")
    assert (seen.pods, seen.jobs, seen.queues, seen.occupancy.used()) == ({}, {}, {}, {})


def test_a_name_that_a_stranger_had_is_free_once_a_list_has_the_stranger_no_more() -> None:
    seen = World()
    stranger = raw_pod(version=3)
    stranger["metadata"]["labels"], stranger["spec"] = {}, {"containers": []}
    seen.saw_pod(stranger)
    assert seen.foreign == {("team", "cells-runner")}
    seen.dirty_queues.clear()
    seen.saw_all("pod", [], "20")
    assert seen.foreign == set()
    assert seen.dirty_queues == {("team", "cells")}, "and its queue is asked"


def test_a_list_older_than_what_was_seen_takes_nothing_away() -> None:
    seen = world()
    seen.saw_all("pod", [], "3")
    assert seen.pods


def test_every_pod_of_the_cluster_counts_until_it_has_ended() -> None:
    seen, settings = world(), Settings(autoscaler_max_cpus=8)
    other = raw_pod(version=3)
    other["metadata"] |= {"name": "other", "labels": {}}
    seen.saw_pod(other)
    assert seen.occupancy.used()["node-1"]["cpu"] == 2
    assert seen.room([], settings).others == {"cpu": 1}
    other["status"]["phase"], other["metadata"]["resourceVersion"] = "Succeeded", "4"
    seen.saw_pod(other)
    assert seen.occupancy.used()["node-1"]["cpu"] == 1
    assert seen.room([], settings).others == {"cpu": 0}


def test_a_waiting_job_follows_its_annotation_and_an_active_one_does_not() -> None:
    moved = {"sihl.ai/queue": "other"}
    seen = World()
    seen.saw_job(job(phase="Queued", annotations=moved).raw)
    assert set(seen.queues) == {("team", "other")}
    seen.saw_job(job(phase="Running", annotations=moved, version=2).raw)
    assert set(seen.queues) == {("team", "cells")}


def test_names_of_what_is_gone_are_forgotten_and_old_news_of_it_is_not_believed() -> None:
    seen = World()
    for number in range(100):
        pod = raw_pod(version=number + 1, queue=f"q-{number}")
        seen.saw_pod(pod)
        seen.saw_pod({**pod, "metadata": {**pod["metadata"], "resourceVersion": "150"}}, True)
    seen.saw_all("pod", [], "200")
    assert not seen._versions["pod"]._told
    seen.saw_pod(raw_pod(version=120, queue="q-7"))
    assert seen.occupancy.usage == {}


def test_what_was_restored_from_a_backup_is_believed_though_its_versions_are_lower() -> None:
    seen = world()
    seen.saw_all("job", [job(phase="Running", version=500).raw], "600")
    seen.saw_all("job", [job("other", version=40).raw], "50")
    assert set(seen.jobs) == {("team", "other")}
    seen.saw_job(job("third", version=51).raw)
    assert set(seen.jobs) == {("team", "other"), ("team", "third")}


FULL = (
    "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, "
    "1 node(s) had untolerated taint {a: b}."
)
ALONE = (
    "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod anti-affinity rules."
)
_PREEMPTION = (
    " preemption: 0/2 nodes are available: 1 No preemption victims found, 1 Preemption is not"
)


@pytest.mark.parametrize(
    ("said", "here_too"),
    [
        ("", True),
        (FULL, True),
        (FULL + _PREEMPTION, True),
        ("0/3 nodes are available: 1 Too many pods, 1 node(s) were unschedulable, 1 node(s) didn't "
         "match Pod's node affinity/selector.", True),
        ("no nodes available to schedule pods", True),
        (ALONE, False),
        (ALONE + _PREEMPTION, False),
        ("0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints.", False),
        ("0/1 nodes are available: 1 node(s) had volume node affinity conflict.", False),
        ("1/1 tasks in gang unschedulable: pod group is not ready, 1 Pending", False),
    ],
)  # fmt: skip
def test_it_is_known_whether_the_scheduler_counts_as_is_counted_here(
    said: str, here_too: bool
) -> None:
    assert reckoned(said) is here_too


def unscheduled(message: str, gates: tuple[str, ...] = ()) -> World:
    """One GPU, and a job's pod that asks for it and is not scheduled."""
    seen = World()
    seen.occupancy.saw_node(raw_node("node-1", 1))
    seen.saw_job(job(phase="Starting", version=5).raw)
    raw = raw_pod(version=6, phase="Pending", node="")
    raw["spec"]["containers"] = [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]
    seen.saw_pod(raw)
    free = seen.room([], Settings()).free(seen.occupancy.nodes["node-1"])
    assert free["nvidia.com/gpu"] == 0, "it is promised to the pod until the scheduler has spoken"
    seen.occupancy.changed = False
    later = raw_pod(version=7, phase="Pending", node="", gates=gates, conditions=[{
        "type": "PodScheduled", "status": "False", "message": message,
        "reason": "SchedulingGated" if gates else "Unschedulable",
    }])  # fmt: skip
    later["spec"]["containers"] = raw["spec"]["containers"]
    seen.saw_pod(later)
    return seen


@pytest.mark.parametrize(
    ("message", "gates", "left", "to_come"),
    [(ALONE, (), 1, 1), (FULL, (), 0, 0), ("", ("kueue.x-k8s.io/admission",), 1, 0)],
)
def test_what_a_pod_cannot_take_is_not_kept_for_it(
    message: str, gates: tuple[str, ...], left: int, to_come: int
) -> None:
    seen = unscheduled(message, gates)
    room = seen.room([], Settings())
    assert room.free(seen.occupancy.nodes["node-1"])["nvidia.com/gpu"] == left
    assert room.used.get(TO_COME, {}).get("nvidia.com/gpu", Decimal(0)) == to_come
    assert seen.occupancy.changed is (left > 0), "the other queues are asked whether they want it"


def test_what_a_gate_takes_is_not_the_schedulers_time() -> None:
    now = 0.0
    seen = World(lambda: now)
    seen.saw_job(job(phase="Starting", version=5).raw)
    seen.saw_pod(raw_pod(version=6, phase="Pending", node="", gates=("kueue.x-k8s.io/admission",)))
    now = 86400.0
    seen.saw_pod(raw_pod(version=7, phase="Pending", node=""))
    now += 7
    held = seen.jobs["team", "job"]
    assert seen.ages(held, seen.pod_of(held)).tried == 7


def test_what_was_said_of_a_pod_is_forgotten_with_it() -> None:
    now = 100.0
    seen = World(lambda: now)
    seen.saw_job(job(phase="Starting", version=5).raw)
    seen.saw_pod(raw_pod(version=6, phase="Pending"))
    held = seen.jobs["team", "job"]
    uid = "pod-job-1"
    assert seen.ages(held, seen.pod_of(held)).heard == math.inf
    seen.hearsay.hear(uid, (("FailedMount", "no"),))
    now += 30
    assert seen.ages(held, seen.pod_of(held)).heard == 30
    assert seen.hearsay.of(uid) == (("FailedMount", "no"),)
    seen.saw_pod(raw_pod(version=7, attempt=2))
    assert seen.hearsay.of(uid) == ()
