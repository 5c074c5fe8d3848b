from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_operator.capacity import Demand, Room, admits
from sihl_operator.pod import demand
from sihl_operator.scheduling import admit
from sihl_operator.settings import Settings
from sihl_operator.views import JobView, NodeView, node_view, pod_requests
from tests.support.objects import NOW, job

GPU = "nvidia.com/gpu"


def node(name: str = "node-1", gpus: int = 1, cpu: int = 100, **more: Any) -> NodeView:
    offers = {GPU: gpus, "cpu": cpu, "memory": 10**12, "pods": 100}
    return NodeView(name, {key: Decimal(value) for key, value in offers.items()}, **more)


def room(*nodes: NodeView) -> Room:
    return Room({each.name: each for each in nodes}, {})


def needs(each: JobView) -> Demand:
    return demand(each, Settings())


def waited(each: JobView) -> float:
    return NOW - each.created


def gpu_job(name: str, gpus: int, created: int = 0, priority: int = 0) -> JobView:
    at = f"2027-01-15T{created // 3600:02d}:{created // 60 % 60:02d}:{created % 60:02d}Z"
    return job(name, "Queued", created=at, priority=priority, runner={"gpus": gpus})


jobs = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3600), st.integers(-2, 2)), max_size=12
).map(lambda rows: [gpu_job(f"j{i}", *row) for i, row in enumerate(rows)])


@given(jobs, st.lists(st.integers(0, 8), min_size=1, max_size=4))
def test_never_more_is_promised_than_the_nodes_have(found: list[JobView], sizes: list[int]) -> None:
    nodes = [node(f"n{i}", gpus) for i, gpus in enumerate(sizes)]
    verdicts = admit(found, room(*nodes), needs, waited, Settings())
    promised = sum(verdict.job.gpus for verdict in verdicts if verdict.admitted)
    assert promised <= sum(sizes)
    assert len(verdicts) == len(found)
    for verdict in verdicts:
        if verdict.admitted:
            assert verdict.job.gpus <= max(sizes)


def test_what_no_node_could_ever_hold_is_told_with_numbers() -> None:
    (verdict,) = admit(
        [gpu_job("a", 8)], room(node(gpus=2), node("b", 4)), needs, waited, Settings()
    )
    assert verdict.reason == "NoNodeFits"
    assert "8 nvidia.com/gpu (the largest node has 4)" in verdict.message


def test_gpus_that_are_unhealthy_for_a_while_are_waited_for() -> None:
    """While a device plugin restarts, all of a node's GPUs are in its capacity only."""
    status = {
        "capacity": {GPU: "2", "cpu": "8", "memory": "64Gi", "pods": "110"},
        "allocatable": {GPU: "0", "cpu": "8", "memory": "60Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    restarting = node_view({"metadata": {"name": "n"}, "status": status})
    asked = [gpu_job("fits", 2), gpu_job("never", 4)]
    fits, never = admit(asked, room(restarting), needs, waited, Settings())
    assert (fits.admitted, fits.reason) == (False, "WaitingForGPUs")
    assert never.reason == "NoNodeFits"
    assert "4 nvidia.com/gpu (the largest node has 2)" in never.message


def test_what_fits_later_waits_for_gpus() -> None:
    full = Room({"n": node("n", 1)}, {"n": {GPU: Decimal(1)}})
    (verdict,) = admit([gpu_job("a", 1)], full, needs, waited, Settings())
    assert (verdict.admitted, verdict.reason) == (False, "WaitingForGPUs")


def test_a_job_that_waited_long_for_a_whole_node_is_not_overtaken_for_ever() -> None:
    half_used = Room({"n": node("n", 2)}, {"n": {GPU: Decimal(1)}})
    large, small = gpu_job("large", 2, created=0), gpu_job("small", 1, created=60)
    verdicts = admit([large, small], half_used, needs, waited, Settings())
    assert [verdict.admitted for verdict in verdicts] == [False, False]


def test_a_job_that_waited_long_for_a_node_to_come_is_not_overtaken_for_ever() -> None:
    settings = Settings(autoscaler_max_gpus=8)
    large, small = gpu_job("large", 8, created=0), gpu_job("small", 1, created=60)
    nodes = {each.name: each for each in (node("a", 1), node("b", 1))}
    taken = {"a": {GPU: Decimal(1)}}
    waits, behind = admit([large, small], Room(nodes, dict(taken)), needs, waited, settings)
    assert (waits.admitted, behind.admitted) == (False, False)
    assert behind.reason == "WaitingForGPUs"
    assert "An earlier job waits for 8 of the 8 nvidia.com/gpu" in behind.message
    # Without GPUs nobody is overtaken; and what never ends is not waited for by all.
    without = gpu_job("none", 0, created=60)
    assert admit([large, without], Room(nodes, dict(taken)), needs, waited, settings)[1].admitted
    for_ever = Room(nodes, dict(taken), others={GPU: Decimal(1)})
    assert admit([large, small], for_ever, needs, waited, settings)[1].admitted
    assert admit([large, small], Room(nodes, {}), needs, waited, settings)[0].admitted


def test_what_a_long_waiting_job_will_not_need_of_its_node_is_given_to_others() -> None:
    half_used = Room({"n": node("n", 2)}, {"n": {GPU: Decimal(1)}})
    large, none = gpu_job("large", 2, created=0), gpu_job("none", 0, created=60)
    verdicts = admit([large, none], half_used, needs, waited, Settings())
    assert [verdict.admitted for verdict in verdicts] == [False, True]


def test_an_autoscaler_may_add_what_is_missing_up_to_its_maximum() -> None:
    settings = Settings(autoscaler_max_gpus=8)
    verdicts = admit(
        [gpu_job("a", 6, 1), gpu_job("b", 6, 2)], room(node(gpus=0)), needs, waited, settings
    )
    assert [verdict.admitted for verdict in verdicts] == [True, False]


@pytest.mark.parametrize(("gpus", "reason"), [(2, ""), (4, "NoNodeFits"), (0, "NoNodeFits")])
def test_an_autoscaler_helps_within_its_maximum_and_who_asks_for_gpus(
    gpus: int, reason: str
) -> None:
    settings = Settings(autoscaler_max_gpus=2)
    runner = {"gpus": gpus, "nodeSelector": {"zone": "nowhere"}}
    waits = job("a", "Queued", runner=runner)
    (verdict,) = admit([waits], room(node(gpus=0)), needs, waited, settings)
    assert (verdict.admitted, verdict.reason) == (not reason, reason)
    named = {2: "", 4: "autoscalerMaxGpus", 0: "autoscalerMaxCpus"}[gpus]
    assert named in verdict.message, "who can mend it is told how"


def test_an_autoscaler_may_add_nodes_for_jobs_without_gpus_up_to_a_maximum_of_their_own() -> None:
    settings = Settings(autoscaler_max_cpus=8)
    asks = {"gpus": 0, "resources": {"requests": {"cpu": "5"}}}
    heads = [job(name, "Queued", runner=asks) for name in ("first", "second")]
    verdicts = admit(heads, Room({}, {}), needs, waited, settings)
    assert [(verdict.admitted, verdict.reason) for verdict in verdicts] == [
        (True, ""),
        (False, "WaitingForRoom"),
    ]
    assert "at most 8 cpu in all (the chart's operator.settings.autoscalerMaxCpus)" in (
        verdicts[1].message
    )
    (with_gpu,) = admit([gpu_job("a", 1)], Room({}, {}), needs, waited, settings)
    assert (with_gpu.admitted, with_gpu.reason) == (False, "NoNodeFits")


@given(st.lists(st.integers(1, 4), max_size=8))
def test_what_is_promised_of_nodes_to_come_counts_in_the_next_round_too(asked: list[int]) -> None:
    settings = Settings(autoscaler_max_gpus=6)
    promised: list[JobView] = []
    for number, gpus in enumerate(asked):
        current = room(node(gpus=0))
        for earlier in promised:
            current.promise(needs(earlier))
        (verdict,) = admit([gpu_job(f"j{number}", gpus)], current, needs, waited, settings)
        promised += [verdict.job] if verdict.admitted else []
    assert sum(each.gpus for each in promised) <= 6


def of_the_moment(key: str, effect: str = "NoSchedule") -> tuple[dict[str, Any], ...]:
    return ({"key": f"node.kubernetes.io/{key}", "effect": effect},)


@pytest.mark.parametrize(
    "change",
    [
        {"ready": False},
        {"schedulable": False},
        {"ready": False, "taints": of_the_moment("not-ready", "NoExecute")},
        {"ready": False, "taints": of_the_moment("unreachable", "NoExecute")},
        {"schedulable": False, "taints": of_the_moment("unschedulable")},
        {"taints": of_the_moment("disk-pressure")},
        {"taints": of_the_moment("memory-pressure")},
    ],
)
def test_a_node_that_takes_no_pods_at_the_moment_is_no_reason_to_change_a_job(
    change: dict[str, Any],
) -> None:
    nodes = room(node("n1", 4, **change), node("n2", 1))
    (verdict,) = admit([gpu_job("a", 4)], nodes, needs, waited, Settings())
    assert (verdict.admitted, verdict.reason) == (False, "NodesUnavailable")
    assert "1 node " in verdict.message
    assert "cordoned" in verdict.message


def test_a_taint_of_the_cluster_s_owner_keeps_a_job_out_for_good() -> None:
    windows = {"key": "node.kubernetes.io/os", "value": "windows", "effect": "NoSchedule"}
    (verdict,) = admit([gpu_job("a", 1)], room(node(taints=(windows,))), needs, waited, Settings())
    assert verdict.reason == "NoNodeFits"


def test_room_is_kept_only_of_nodes_that_take_pods_now() -> None:
    sick = node("sick", 8, taints=of_the_moment("disk-pressure"))
    half_used = Room({"n": node("n", 2), "sick": sick}, {"n": {GPU: Decimal(1)}})
    large, small = gpu_job("large", 2, created=0), gpu_job("small", 1, created=60)
    verdicts = admit([large, small], half_used, needs, waited, Settings())
    assert [verdict.admitted for verdict in verdicts] == [False, False]


@pytest.mark.parametrize(
    ("gpus", "used", "reason", "named"),
    [
        (1, {GPU: 1}, "WaitingForGPUs", GPU),
        (1, {GPU: 1, "cpu": 100}, "WaitingForGPUs", f"cpu, {GPU}"),
        (1, {"cpu": 100}, "WaitingForRoom", "cpu"),
        (0, {"cpu": 100, "memory": 10**12}, "WaitingForRoom", "cpu, memory"),
    ],
)
def test_what_is_short_is_named(gpus: int, used: dict[str, int], reason: str, named: str) -> None:
    taken = {"n": {key: Decimal(value) for key, value in used.items()}}
    (verdict,) = admit(
        [gpu_job("a", gpus)], Room({"n": node("n", 1)}, taken), needs, waited, Settings()
    )
    assert (verdict.admitted, verdict.reason) == (False, reason)
    assert f"enough free {named}:" in verdict.message


OTHERS = {
    "no GPU": node("other", 0),
    "a small one": node("other", 1, cpu=1),
    "not ready": node("other", 1, ready=False),
    "for others": node("other", 1, labels={"zone": "b"}),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize(
    ("used", "reason", "named"),
    [({"cpu": 100}, "WaitingForRoom", "cpu"), ({GPU: 1}, "WaitingForGPUs", GPU)],
)
def test_what_is_free_where_the_job_can_not_run_is_short_all_the_same(
    other: NodeView, used: dict[str, int], reason: str, named: str
) -> None:
    taken = {"n": {key: Decimal(value) for key, value in used.items()}}
    nodes = {"n": node("n", 1, labels={"zone": "a"}), "other": other}
    resources = {"requests": {"cpu": "60"}}
    selector = {"zone": "a"} if other.labels else {}
    runner = {"gpus": 1, "resources": resources, "nodeSelector": selector}
    waits = job("a", "Queued", runner=runner)
    (verdict,) = admit([waits], Room(nodes, taken), needs, waited, Settings())
    assert verdict.reason == reason
    assert f"enough free {named}:" in verdict.message


def test_what_no_one_node_has_together_is_named() -> None:
    taken = {"a": {GPU: Decimal(1)}, "b": {"cpu": Decimal(100)}}
    nodes = {"a": node("a", 1), "b": node("b", 1)}
    (verdict,) = admit([gpu_job("a", 1)], Room(nodes, taken), needs, waited, Settings())
    assert verdict.reason == "WaitingForRoom"
    assert f"cpu and {GPU} together" in verdict.message


@pytest.mark.parametrize("offers", [0, 2])
def test_who_waits_since_the_autoscaler_has_no_more_to_add_is_told_so(offers: int) -> None:
    settings = Settings(autoscaler_max_gpus=2)
    full = Room({"n": node("n", offers)}, {"n": {GPU: Decimal(2)}})
    (verdict,) = admit([gpu_job("a", 1)], full, needs, waited, settings)
    assert verdict.reason == "WaitingForGPUs"
    assert "at most 2 nvidia.com/gpu" in verdict.message
    assert "operator.settings.autoscalerMaxGpus" in verdict.message


TAINT = {"key": "gpu", "value": "a100", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("tolerations", "admitted"),
    [
        ((), False),
        (({"operator": "Exists"},), True),
        (({"key": "gpu", "operator": "Exists"},), True),
        (({"key": "gpu", "value": "a100"},), True),
        (({"key": "gpu", "value": "h200"},), False),
        (({"key": "gpu", "operator": "Exists", "effect": "NoExecute"},), False),
    ],
)
def test_a_taint_keeps_out_who_does_not_tolerate_it(tolerations: Any, admitted: bool) -> None:
    wanted = Demand({}, tolerations=tolerations)
    assert admits(node(taints=(TAINT,)), wanted) is admitted


@pytest.mark.parametrize(
    ("operator", "values", "admitted"),
    [
        ("In", ["a", "b"], True), ("NotIn", ["a"], False), ("Exists", [], True),
        ("DoesNotExist", [], False), ("In", ["c"], False),
    ],
)  # fmt: skip
def test_required_node_affinity_is_respected(
    operator: str, values: list[str], admitted: bool
) -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": operator, "values": values}]}
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}
        }
    }
    assert admits(node(labels={"zone": "a"}), Demand({}, affinity=affinity)) is admitted


@pytest.mark.parametrize("change", [{"ready": False}, {"schedulable": False}])
def test_a_node_that_takes_no_pods_offers_no_room(change: dict[str, Any]) -> None:
    assert room(node(**change)).place(Demand({})) is None


def test_a_pod_counts_with_its_containers_or_its_largest_init_container() -> None:
    def container(cpu: str, **more: str) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "containers": [container("1"), container("500m")],
        "initContainers": [container("2"), container("250m", restartPolicy="Always")],
    }
    assert pod_requests(spec)["cpu"] == Decimal(2)
