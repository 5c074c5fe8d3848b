"""Where a job's pod may go: what its user asks for, what its image needs, what is usual here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from sihl_operator.capacity import could_hold
from sihl_operator.placement import placement
from sihl_operator.pod import demand, render_pod
from sihl_operator.settings import Settings
from sihl_operator.views import NodeView, Raw
from tests.support.objects import SPEC, job

WINDOWS = {"kubernetes.io/os": "windows", "kubernetes.io/arch": "amd64"}
LINUX = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
ARM = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}
AMD64 = Settings(runner_architectures=("amd64",))
BOTH = Settings(runner_architectures=("amd64", "arm64"))


def node(labels: dict[str, str] | None = None, taints: tuple[Raw, ...] = ()) -> NodeView:
    room = {"cpu": 64, "memory": 2**40, "pods": 110, "nvidia.com/gpu": 1}
    offers = {name: Decimal(amount) for name, amount in room.items()}
    return NodeView("n", offers, labels=labels or {}, taints=taints)


def with_runner(**runner: Any) -> Any:
    return job(runner={**SPEC["runner"], **runner})


def terms(*each: Any) -> dict[str, Any]:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(each)}}
    return {"nodeAffinity": required}


def holds(labels: dict[str, str], runner: dict[str, Any], settings: Settings) -> bool:
    return bool(could_hold([node(labels)], demand(with_runner(**runner), settings)))


@pytest.mark.parametrize(
    ("labels", "runner", "settings", "held"),
    [
        (LINUX, {}, AMD64, True),
        (WINDOWS, {}, AMD64, False),
        (ARM, {}, AMD64, False),
        (ARM, {}, BOTH, True),
        (ARM, {"nodeSelector": {"kubernetes.io/arch": "arm64"}}, AMD64, True),
        (ARM, {"affinity": terms({"matchExpressions": [
            {"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]}]})}, AMD64, True),
        (LINUX | {"pool": "a"}, {"nodeSelector": {"pool": "a"}}, AMD64, True),
        ({}, {}, AMD64, True),
    ],
)  # fmt: skip
def test_only_linux_and_the_images_architectures_unless_the_job_names_one(
    labels: dict[str, str], runner: dict[str, Any], settings: Settings, held: bool
) -> None:
    assert holds(labels, runner, settings) is held


def test_each_of_the_jobs_own_terms_asks_for_what_the_image_needs() -> None:
    pool = {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["a"]}]}
    name = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}
    runner = {"affinity": terms(pool, name, {})}
    assert holds(LINUX | {"pool": "a"}, runner, AMD64)
    assert holds(LINUX, runner, AMD64), "by its name"
    assert not holds(WINDOWS | {"pool": "a"}, runner, AMD64)
    assert not holds(LINUX, {"affinity": terms({})}, AMD64), "an empty term matches no node"


def test_what_the_job_says_of_other_pods_and_prefers_stays_as_it_is() -> None:
    preferred = [{"weight": 1, "preference": {"matchExpressions": []}}]
    given: dict[str, Any] = {
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []},
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred},
    }
    made = placement(with_runner(affinity=given), AMD64)["affinity"]
    assert made["podAntiAffinity"] == given["podAntiAffinity"]
    assert made["nodeAffinity"].items() >= given["nodeAffinity"].items()


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_the_accelerators_own_taint_keeps_away_only_who_does_not_ask_for_it(effect: str) -> None:
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": effect}
    tainted = node(taints=(taint,))
    for gpus, held in ((1, True), (0, False)):
        wants = with_runner(gpus=gpus)
        assert bool(could_hold([tainted], demand(wants, Settings()))) is held
        made = render_pod(wants, 1, "cells", Settings())["spec"].get("tolerations", [])
        assert ({"key": "nvidia.com/gpu", "operator": "Exists"} in made) is held


def test_defaults_stand_beside_what_the_job_says_and_give_way_to_it() -> None:
    dedicated = {"key": "dedicated", "operator": "Exists"}
    settings = Settings(
        default_node_selector={"pool": "training", "zone": "a"},
        default_tolerations=(dedicated,),
        default_memory_limit="4Gi",
        default_cpu_limit="2",
    )
    own = {"key": "mine", "operator": "Exists"}
    asks = {"requests": {"memory": "8Gi"}, "limits": {"cpu": "1"}}
    made = render_pod(
        with_runner(gpus=0, nodeSelector={"zone": "b"}, tolerations=[own], resources=asks),
        1,
        "cells",
        settings,
    )["spec"]
    assert made["nodeSelector"] == {"pool": "training", "zone": "b"}
    assert made["tolerations"] == [own, dedicated]
    for container in (*made["initContainers"], *made["containers"]):
        assert container["resources"]["limits"] == {"cpu": "1", "memory": "8Gi"}
    plain = render_pod(with_runner(gpus=0, resources={}), 1, "cells", settings)["spec"]
    assert plain["containers"][0]["resources"] == {
        "requests": {"cpu": "1", "memory": "2Gi"},
        "limits": {"cpu": "2", "memory": "4Gi"},
    }


@pytest.mark.parametrize("affinity", [{"nodeAffinity": "any"}, terms("text"), terms([1])])
def test_an_affinity_that_means_nothing_is_left_to_the_api_server(affinity: dict[str, Any]) -> None:
    assert placement(with_runner(affinity=affinity), AMD64)["affinity"] == affinity
