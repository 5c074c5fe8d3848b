"""What Argo CD is told of TrainingJobs: health and actions, in Lua as Argo CD runs it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from lupa.lua51 import LuaError

from gitops import argo_cd
from gitops.__main__ import MADE
from sihl_api.status import Phase
from tests.support import lua, phases

JOBS = phases.every()
HEALTH = {
    "fresh": "Progressing",
    "queued": "Progressing",
    "refused": "Degraded",
    "starting": "Progressing",
    "running": "Progressing",
    "running, its record not writable": "Progressing",
    "stopping": "Progressing",
    "stopped": "Suspended",
    "stopped before it ran": "Suspended",
    "succeeded": "Healthy",
    "failed": "Degraded",
    "failed with a checkpoint": "Degraded",
}
MAY = {
    "fresh": {"suspend", "raise-priority"},
    "queued": {"suspend", "raise-priority"},
    "refused": {"suspend", "raise-priority"},
    "starting": {"suspend", "raise-priority"},
    "running": {"suspend", "raise-priority"},
    "running, its record not writable": {"suspend", "raise-priority"},
    "stopping": {"resume", "raise-priority"},
    "stopped": {"resume", "raise-priority", "start-again"},
    "stopped before it ran": {"resume", "raise-priority", "start-again"},
    "succeeded": {"start-again"},
    "failed": {"start-again"},
    "failed with a checkpoint": {"suspend", "start-again"},
}


def health(job: dict[str, Any]) -> dict[str, str]:
    answer: dict[str, str] = lua.answer(argo_cd.script("health.lua"), job)
    return answer


def act(action: str, job: dict[str, Any], **parameters: str) -> Any:
    return lua.answer(argo_cd.script("actions", action, "action.lua"), job, **parameters)


def discovered(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = lua.answer(argo_cd.script("actions", "discovery.lua"), job)
    return found


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_as_healthy_as_its_operator_says_and_the_message_is_its(name: str) -> None:
    told = health(JOBS[name])
    assert told["status"] == HEALTH[name]
    if HEALTH[name] == "Degraded" or "writable" in name:
        messages = [c["message"] for c in JOBS[name]["status"]["conditions"]]
        assert told["message"] in messages
    assert told["message"]


def test_every_phase_that_there_is_has_been_tried() -> None:
    tried = {job["status"].get("phase") for job in JOBS.values() if "status" in job}
    assert tried >= set(Phase)


@pytest.mark.parametrize("name", [name for name in JOBS if name != "fresh"])
@pytest.mark.parametrize("observed", [None, -1, 1])
def test_what_was_said_of_an_old_generation_says_nothing(name: str, observed: int | None) -> None:
    job = copy.deepcopy(JOBS[name])
    job["metadata"]["generation"] = 2
    job["status"].pop("observedGeneration")
    if observed is not None:
        job["status"]["observedGeneration"] = observed
    assert health(job)["status"] == "Progressing"


@pytest.mark.parametrize("status", [None, {}, {"observedGeneration": -1}, {"conditions": []}])
def test_a_job_that_nobody_has_seen_progresses_and_may_be_stopped(status: Any) -> None:
    job = {**JOBS["fresh"], "status": status}
    assert health(job)["status"] == "Progressing"
    assert not discovered(job)["suspend"]["disabled"]


@given(st.sampled_from(sorted(JOBS)), st.text(min_size=1), st.sampled_from(["True", "False"]))
def test_a_condition_of_another_type_changes_nothing(name: str, kind: str, value: str) -> None:
    job = copy.deepcopy(JOBS[name])
    conditions = job.get("status", {}).get("conditions", [])
    if kind not in {c["type"] for c in conditions} | {"Accepted", "RecordWritable"}:
        conditions.insert(0, {"type": kind, "status": value})
    assert health(job) == health(JOBS[name])


def test_a_phase_of_a_newer_operator_is_shown() -> None:
    job = copy.deepcopy(JOBS["running"])
    job["status"]["phase"] = "Dreaming"
    assert health(job) == {"status": "Progressing", "message": "The job is Dreaming"}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_offered_what_it_can_do(name: str) -> None:
    found = discovered(JOBS[name])
    assert sorted(found) == sorted(argo_cd.ACTIONS)
    assert {each for each, what in found.items() if not what["disabled"]} == MAY[name]


@pytest.mark.parametrize(("action", "value"), [("suspend", True), ("resume", False)])
@pytest.mark.parametrize("name", JOBS)
def test_an_action_changes_its_field_alone(name: str, action: str, value: bool) -> None:
    before = JOBS[name]
    after = {**before, "spec": {**before["spec"], "suspend": value}}
    assert lua.cleaned(act(action, before), before) == after


def test_a_priority_is_raised_by_one_or_to_what_is_given() -> None:
    def raised(now: int | None, **given: str) -> int:
        spec = {**JOBS["queued"]["spec"], **({} if now is None else {"priority": now})}
        priority: int = act("raise-priority", {**JOBS["queued"], "spec": spec}, **given)["spec"][
            "priority"
        ]
        return priority

    assert [raised(None), raised(0), raised(-5), raised(3, priority="")] == [1, 1, -4, 4]
    assert [raised(3, priority="50"), raised(None, priority="1000000")] == [50, 1_000_000]
    for now, given_ in ((3, "3"), (3, "2"), (0, "high"), (0, "1.5"), (0, "1000001")):
        with pytest.raises(LuaError, match=f"whole number above {now}"):
            raised(now, priority=given_)
    with pytest.raises(LuaError, match="up to 1000000"):
        raised(1_000_000)


def test_a_job_that_is_started_again_is_a_new_one_of_the_same_spec_and_is_nobodys() -> None:
    old = copy.deepcopy(JOBS["stopped"])
    old["metadata"]["labels"] = {"app.kubernetes.io/instance": "jobs"}
    old["metadata"]["annotations"] = {
        "argocd.argoproj.io/tracking-id": "jobs:sihl.ai/TrainingJob:team/job",
        "sihl.ai/queue": "plates",
    }
    old["spec"]["runner"] |= {"tolerations": [], "resources": {"limits": {}}, "nodeSelector": {}}
    spec = copy.deepcopy(old["spec"]) | {"suspend": False}
    for empty in ("tolerations", "resources", "nodeSelector"):
        del spec["runner"][empty]
    metadata = {
        "generateName": "job-", "namespace": "team", "annotations": {"sihl.ai/queue": "plates"},
    }  # fmt: skip
    new = {"apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": metadata, "spec": spec}
    assert act("start-again", old) == [{"operation": "create", "resource": new}]


ALL = {"matchExpressions": [{"key": "sihl.ai/selects-all", "operator": "DoesNotExist"}]}


@pytest.mark.parametrize("empty", [{}, {"matchLabels": {}}, {"matchExpressions": []}])
@pytest.mark.parametrize("key", ["labelSelector", "namespaceSelector"])
def test_a_selector_that_selects_all_still_does_in_the_new_job(
    key: str, empty: dict[str, Any]
) -> None:
    def affinity(selector: dict[str, Any]) -> dict[str, Any]:
        term = {key: selector, "topologyKey": "zone"}
        return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}

    old = copy.deepcopy(JOBS["succeeded"])
    old["spec"]["runner"]["affinity"] = affinity(empty)
    (new,) = act("start-again", old)
    assert new["resource"]["spec"]["runner"]["affinity"] == affinity(ALL)


def test_what_an_empty_table_cannot_tell_is_refused() -> None:
    old = copy.deepcopy(JOBS["succeeded"])
    old["spec"]["runner"]["affinity"] = {"nodeAffinity": {"terms": [{}]}}
    with pytest.raises(
        LuaError, match=r"empty entry in a list \(number 1\).*kubectl sihl clone job"
    ):
        act("start-again", old)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
CONDITION = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["Accepted", "Failed", "RecordWritable"]) | JSON,
        "status": st.sampled_from(["True", "False"]) | JSON,
        "message": JSON,
    },
)
STATUS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(Phase) | JSON,
        "observedGeneration": st.just(1) | JSON,
        "conditions": st.lists(CONDITION | JSON, max_size=3) | JSON,
        "checkpoint": JSON,
    },
)


@given(STATUS)
def test_whatever_a_status_holds_it_has_a_health_and_actions(status: Any) -> None:
    job = {**JOBS["running"], "status": status}
    told = health(job)
    assert told["status"] in {"Progressing", "Degraded", "Healthy", "Suspended"}
    assert isinstance(told["message"], str)
    assert told["message"]
    assert sorted(discovered(job)) == sorted(argo_cd.ACTIONS)


# --- as Argo CD's own repository tries it ----------------------------------------------------


def cases(kind: str, *where: str) -> list[dict[str, Any]]:
    file = argo_cd.CUSTOMIZATION.joinpath(*where)
    found: list[dict[str, Any]] = yaml.safe_load(file.read_text())[kind]
    return found


def data(*where: str) -> Any:
    return yaml.safe_load(argo_cd.CUSTOMIZATION.joinpath(*where).read_text())


SHOWN = {
    "testdata/queued": "queued",
    "testdata/refused": "refused",
    "testdata/starting": "starting",
    "testdata/running": "running",
    "testdata/stopping": "stopping",
    "testdata/stopped": "stopped",
    "testdata/succeeded": "succeeded",
    "testdata/failed": "failed",
    "actions/testdata/running": "running",
    "actions/testdata/stopped": "stopped",
    "actions/testdata/succeeded": "succeeded",
    "actions/testdata/failed-with-checkpoint": "failed with a checkpoint",
}


@pytest.mark.parametrize("file", SHOWN)
def test_upstreams_data_are_what_this_operator_writes(file: str) -> None:
    shown, ours = data(f"{file}.yaml")["status"], JOBS[SHOWN[file]]["status"]
    assert {**shown, "conditions": None}.keys() == ours.keys() | {"conditions"}
    told = ("type", "status", "reason", "message")
    for one, other in zip(shown["conditions"], ours["conditions"], strict=True):
        assert [one[name] for name in told] == [other[name] for name in told]


@pytest.mark.parametrize("case", cases("tests", "health_test.yaml"), ids=lambda c: c["inputPath"])
def test_upstreams_health_tests_hold(case: dict[str, Any]) -> None:
    assert health(data(case["inputPath"])) == case["healthStatus"]


@pytest.mark.parametrize(
    "case", cases("discoveryTests", "actions", "action_test.yaml"), ids=lambda c: c["inputPath"]
)
def test_upstreams_discovery_tests_hold(case: dict[str, Any]) -> None:
    found = discovered(data("actions", case["inputPath"]))
    told = [{"name": name, **what} for name, what in found.items()]
    expected = [{"disabled": False, **each} for each in case["result"]]
    assert sorted(told, key=lambda t: t["name"]) == sorted(expected, key=lambda t: t["name"])


@pytest.mark.parametrize(
    "case", cases("actionTests", "actions", "action_test.yaml"), ids=lambda c: c["action"]
)
def test_upstreams_action_tests_hold(case: dict[str, Any]) -> None:
    old = data("actions", case["inputPath"])
    if "expectedErrorMessage" in case:
        with pytest.raises(LuaError, match=case["expectedErrorMessage"]):
            act(case["action"], old, **case.get("parameters", {}))
        return
    new = act(case["action"], old, **case.get("parameters", {}))
    if isinstance(new, list):
        (new,) = [each["resource"] for each in new]
    assert new == data("actions", case["expectedOutputPath"])


@pytest.mark.parametrize("file", MADE, ids=lambda file: file.name)
def test_what_is_made_of_other_files_is_not_stale(file: Path) -> None:
    assert file.read_text() == MADE[file](), "make gitops"
