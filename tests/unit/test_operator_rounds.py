"""What two acts do that are under way at once: an API server that answers when the test says so."""

from __future__ import annotations

import asyncio
import copy
from itertools import pairwise
from typing import Any

import pytest

from sihl_operator import status as say
from sihl_operator.kube import AlreadyExistsError, ApiError, ConflictError, NotFoundError, See
from sihl_operator.metrics import Metrics
from sihl_operator.patches import as_json
from sihl_operator.refusals import lacking
from sihl_operator.rounds import Rounds
from sihl_operator.settings import Settings
from sihl_operator.sightings import Clocks
from sihl_operator.world import World
from tests.support.objects import NOW, SPEC, Raw, job, raw_pod


class SlowApi:
    """Takes every write, and answers none until it is let go."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.version = 100
        self.admitted: list[str] = []
        self.pods: list[Raw] = []
        self.objects: dict[str, Raw] = {}

    async def list_all(self, kind: str) -> tuple[list[Raw], str]:
        return list(self.objects.values()) if kind == "job" else [], str(self.version)

    async def watch(self, kind: str, version: str, see: See) -> None:
        raise AssertionError("nobody watches here")

    async def get_job(self, namespace: str, name: str) -> Raw:
        return self.objects[name]

    async def patch_job_status(self, namespace: str, name: str, version: str, status: Raw) -> Raw:
        if status.get("phase") == "Starting":
            self.admitted.append(name)
        await self.answers.wait()
        self.version += 1
        raw = copy.deepcopy(self.objects[name])
        raw["metadata"]["resourceVersion"] = str(self.version)
        raw["status"] = {**raw["status"], **status}
        self.objects[name] = raw
        return raw

    async def delete_job(self, namespace: str, name: str, uid: str, version: str) -> None:
        raise AssertionError("nobody deletes a job here")

    async def get_pod(self, namespace: str, name: str) -> Raw:
        raise AssertionError("nobody asks for a pod here")

    async def create_pod(self, pod: Raw) -> Raw:
        self.version += 1
        raw: Raw = copy.deepcopy(pod)
        raw["metadata"] |= {"uid": f"uid-{self.version}", "resourceVersion": str(self.version)}
        raw["status"] = {"phase": "Pending"}
        self.pods.append(raw)
        return raw

    async def delete_pod(self, namespace: str, name: str, uid: str, grace: int | None) -> None:
        raise AssertionError("nobody deletes a pod here")

    async def events_of(self, namespace: str, uid: str) -> list[Raw]:
        return []

    async def create_event(self, event: Raw) -> None:
        return None


def leading(
    api: SlowApi, gpus: int, settings: Settings | None = None, clocks: Clocks | None = None
) -> Rounds:
    clocks = clocks or Clocks()
    world = World(clocks.monotonic)
    offers = {"cpu": "64", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    world.occupancy.saw_node(
        {
            "metadata": {"name": "node-1", "resourceVersion": "1"},
            "spec": {},
            "status": {
                "allocatable": offers,
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
    )
    metrics, settings = Metrics(world), settings or Settings()
    rounds = Rounds(world, api, settings, metrics, clocks, lambda: True)
    rounds._began = True
    return rounds


def submit(
    rounds: Rounds,
    api: SlowApi,
    name: str,
    project: str,
    phase: str | None = "Queued",
    **more: Any,
) -> None:
    version = len(api.objects) + 1
    raw = dict(job(name, phase, version=version, project=project, **more).raw)
    api.objects[name] = raw
    rounds.world.saw_job(raw)


async def settle() -> None:
    """Let every act go on as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_room_that_is_promised_is_taken_before_the_api_server_says_so() -> None:
    api = SlowApi()
    rounds = leading(api, gpus=1)
    submit(rounds, api, "first", "cells")
    rounds.round()
    await settle()
    submit(rounds, api, "second", "plates")
    rounds.round()
    await settle()
    assert api.admitted == ["first"]
    api.answers.set()
    await settle()
    rounds.round()
    await settle()
    assert [pod["metadata"]["name"] for pod in api.pods] == ["cells-runner"]
    assert api.admitted == ["first"]


@pytest.mark.parametrize("answered", [True, False])
async def test_what_jobs_get_of_nodes_to_come_is_no_more_in_later_rounds(answered: bool) -> None:
    api = SlowApi()
    if answered:
        api.answers.set()
    rounds = leading(api, gpus=0, settings=Settings(autoscaler_max_gpus=2))
    for number in range(4):
        submit(rounds, api, f"job-{number}", f"queue-{number}")
        rounds.round()
        await settle()
    assert api.admitted == ["job-0", "job-1"]
    assert len(api.pods) == (2 if answered else 0)


async def test_a_queue_is_taken_from_the_admission_of_a_job_on() -> None:
    api = SlowApi()
    rounds = leading(api, gpus=4)
    submit(rounds, api, "first", "cells")
    rounds.round()
    await settle()
    submit(rounds, api, "urgent", "cells", priority=9)
    rounds.round()
    await settle()
    api.answers.set()
    await settle()
    rounds.round()
    await settle()
    assert api.admitted == ["first"]
    assert len(api.pods) == 1


async def test_room_kept_for_who_waits_long_is_not_given_to_who_comes_later() -> None:
    api = SlowApi()
    api.answers.set()
    now = 0.0
    rounds = leading(api, gpus=2, clocks=Clocks(monotonic=lambda: now))
    runner = {**SPEC["runner"], "gpus": 1}
    submit(rounds, api, "small", "cells", runner=runner)
    rounds.round()
    await settle()
    submit(rounds, api, "large", "plates", runner={**runner, "gpus": 2})
    for _ in range(3):
        rounds.round()
        await settle()
    now += Settings().reserve_after
    submit(rounds, api, "late", "scans", runner=runner)
    rounds.round()
    await settle()
    assert api.admitted == ["small"]


class TakenApi(SlowApi):
    """The queue's pod name belongs to a pod that takes its time to end, unseen by any watch."""

    def __init__(self) -> None:
        super().__init__()
        self.answers.set()
        due = {"deletionTimestamp": "2027-01-15T09:00:00Z", "deletionGracePeriodSeconds": 300}
        self.there = raw_pod("deleted", metadata=due)
        self.asked = 0

    async def get_pod(self, namespace: str, name: str) -> Raw:
        return self.there

    async def create_pod(self, pod: Raw) -> Raw:
        self.asked += 1
        raise AlreadyExistsError(409, "AlreadyExists", "pods cells-runner already exists")


async def test_a_job_waits_in_its_queue_while_an_unseen_pod_that_has_its_name_ends() -> None:
    api = TakenApi()
    rounds = leading(api, gpus=4)
    submit(rounds, api, "next", "cells")
    for _ in range(10):
        rounds.round()
        await settle()
    assert api.asked == 1
    status = api.objects["next"]["status"]
    assert status["phase"] == "Queued"
    assert "WaitingForPod" in [c["reason"] for c in status["conditions"]]


class PartialApi(SlowApi):
    """Answers nobody's writes but those of jobs that are not `held`; refuses `refused` ones."""

    def __init__(self, held: str = "", refused: str = "") -> None:
        super().__init__()
        self.held, self.refused = held, refused
        self.refusals = 0
        self.let_go = asyncio.Event()
        self.answers.set()

    async def patch_job_status(self, namespace: str, name: str, version: str, status: Raw) -> Raw:
        if name == self.refused:
            self.refusals += 1
            raise ApiError(422, "Invalid", f"{name} is not to be")
        if name == self.held:
            await self.let_go.wait()
        return await super().patch_job_status(namespace, name, version, status)


async def turns(rounds: Rounds, count: int = 10) -> None:
    for _ in range(count):
        rounds.round()
        await settle()


async def test_who_came_first_starts_first_whichever_write_is_answered_first() -> None:
    api = PartialApi(held="a-first")
    rounds = leading(api, gpus=4)
    submit(rounds, api, "a-first", "cells", phase=None)
    submit(rounds, api, "b-second", "cells", phase=None)
    await turns(rounds)
    assert api.admitted == []
    assert api.objects["b-second"]["status"]["queuePosition"] == 2
    api.let_go.set()
    await settle()
    await turns(rounds)
    assert api.admitted == ["a-first"]


async def test_a_job_whose_status_the_api_server_refuses_holds_up_nobody_else() -> None:
    api = PartialApi(refused="a-first")
    rounds = leading(api, gpus=4)
    submit(rounds, api, "a-first", "cells", phase=None)
    submit(rounds, api, "b-second", "cells", phase=None)
    await turns(rounds)
    assert api.admitted == ["b-second"]
    assert api.refusals == 1, "it is asked again at once"


async def test_a_job_that_backs_off_lets_the_next_one_pass() -> None:
    api = PartialApi()
    rounds = leading(api, gpus=4)
    held = as_json(say.requeued(job(), "Crashed", "It did.", NOW, retry_in=60))
    submit(rounds, api, "first", "cells", status=held)
    submit(rounds, api, "second", "cells")
    await turns(rounds)
    assert api.admitted == ["second"]


class ConflictingApi(SlowApi):
    """As where a job was deleted and made anew, and the watch has not told it yet."""

    def __init__(self) -> None:
        super().__init__()
        self.answers.set()

    async def patch_job_status(self, namespace: str, name: str, version: str, status: Raw) -> Raw:
        if version != self.objects[name]["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "the object has been modified")
        return await super().patch_job_status(namespace, name, version, status)


async def test_a_job_made_anew_under_its_name_comes_after_those_made_before_it() -> None:
    api = ConflictingApi()
    rounds = leading(api, gpus=4)
    submit(rounds, api, "b-anew", "cells", phase=None)
    between, anew = (
        dict(job(name, version=version).raw)
        for name, version in (("a-between", 50), ("b-anew", 51))
    )
    anew["metadata"]["uid"] = "another"
    api.objects |= {"a-between": between, "b-anew": anew}
    await turns(rounds)
    assert api.admitted == [], "it is not to be known before the watch tells of both"
    rounds.world.saw("job", between)
    rounds.world.saw("job", anew)
    await turns(rounds)
    assert api.admitted == ["a-between"]


class ForbiddingApi(SlowApi):
    """As an API server that has not read its roles yet, or whose roles lack something."""

    def __init__(self, lacking: str) -> None:
        super().__init__()
        self.answers.set()
        self.lacking = lacking
        self.asked = 0
        self.events: list[Raw] = []

    def _asked(self, right: str) -> None:
        if right == self.lacking:
            self.asked += 1
            verb, what = right.split()
            who = 'is forbidden: User "system:serviceaccount:sihl-system:sihl-operator"'
            where = 'in API group "" in the namespace "team"'
            raise ApiError(403, "Forbidden", f'x {who} cannot {verb} resource "{what}" {where}')

    async def create_pod(self, pod: Raw) -> Raw:
        self._asked("create pods")
        return await super().create_pod(pod)

    async def delete_pod(self, namespace: str, name: str, uid: str, grace: int | None) -> None:
        self._asked("delete pods")

    async def get_pod(self, namespace: str, name: str) -> Raw:
        self._asked("get pods")
        raise NotFoundError(404, "NotFound", name)

    async def patch_job_status(self, namespace: str, name: str, version: str, status: Raw) -> Raw:
        self._asked("patch trainingjobs/status")
        return await super().patch_job_status(namespace, name, version, status)

    async def create_event(self, event: Raw) -> None:
        self.events.append(event)


def told(api: SlowApi, name: str, reason: str) -> str:
    """A condition's message."""
    conditions = api.objects[name]["status"]["conditions"]
    return next(str(c["message"]) for c in conditions if c["reason"] == reason)


async def test_what_the_operator_may_not_do_is_no_failure_of_the_job() -> None:
    api = ForbiddingApi("create pods")
    rounds = leading(api, gpus=4)
    submit(rounds, api, "job", "cells")
    await turns(rounds)
    assert api.asked == 1, "it is asked again after a pause"
    status = api.objects["job"]["status"]
    assert (status["phase"], status["obstacle"]["reason"]) == ("Queued", "OperatorForbidden")
    assert "failures" not in status
    assert told(api, "job", "OperatorForbidden").startswith(
        'The operator may not create pods in the namespace "team": whoever runs the cluster can'
    )


@pytest.mark.parametrize("lacking", ["delete pods", "get pods"])
async def test_a_job_says_which_right_the_operator_lacks_to_go_on_with_it(lacking: str) -> None:
    api = ForbiddingApi(lacking)
    rounds = leading(api, gpus=4)
    submit(rounds, api, "job", "cells", phase="Running", suspend=lacking == "delete pods")
    if lacking == "delete pods":
        rounds.world.saw_pod(raw_pod(version=10))
    await turns(rounds)
    assert api.asked == 1, "it is asked again after a pause"
    assert f"may not {lacking} in the namespace" in told(api, "job", "OperatorForbidden")


async def test_who_waits_for_a_pod_that_the_operator_may_not_delete_is_told_so() -> None:
    api = ForbiddingApi("delete pods")
    rounds = leading(api, gpus=4)
    submit(rounds, api, "ended", "cells", phase="Failed", status={"attempt": 1})
    rounds.world.saw_pod(raw_pod("ended", version=10))
    submit(rounds, api, "next", "cells")
    await turns(rounds)
    assert api.objects["next"]["status"]["phase"] == "Queued"
    assert "may not delete pods" in told(api, "next", "OperatorForbidden")


async def test_what_the_operator_lacks_to_see_the_cluster_is_said_by_those_who_wait() -> None:
    api = ForbiddingApi("nothing")
    rounds = leading(api, gpus=4)
    for name, phase in (
        ("new", None),
        ("waits", "Queued"),
        ("runs", "Running"),
        ("over", "Failed"),
    ):
        submit(rounds, api, name, f"queue-{name}", phase=phase)
    said = (
        'nodes is forbidden: User "x" cannot list resource "nodes" in API group "" at the cluster'
    )
    end = lacking(403, said)
    assert end is not None
    for _ in range(2):
        await rounds.tell_blind(end)
    for name in ("new", "waits"):
        assert "The operator may not list nodes: " in told(api, name, "OperatorForbidden")
    for name in ("runs", "over"):
        assert "OperatorForbidden" not in str(api.objects[name]["status"])
    assert api.version == 102, "said once"


async def test_a_job_whose_status_may_not_be_written_is_told_so_by_one_event() -> None:
    api = ForbiddingApi("patch trainingjobs/status")
    rounds = leading(api, gpus=4, settings=Settings(retry_backoff=0.001))
    submit(rounds, api, "job", "cells", phase=None)
    while api.asked < 6:
        rounds.round()
        await asyncio.sleep(0.001)
    (event,) = api.events
    assert event["reason"] == "OperatorForbidden"
    assert "may not patch trainingjobs/status" in event["message"]


async def test_positions_of_many_queues_are_written_a_few_a_second_until_all_are_right() -> None:
    api = SlowApi()
    api.answers.set()
    now = 0.0
    rounds = leading(api, gpus=0, clocks=Clocks(monotonic=lambda: now))
    for number in range(120):
        submit(rounds, api, f"job-{number:03}", f"queue-{number % 20}", phase=None)
    await turns(rounds, 3)
    now += 3600
    for number in range(40):
        rounds.world.lose_job(("team", f"job-{number:03}"))
    written = [api.version]
    while len(written) < 100:
        await turns(rounds, 1)
        written.append(api.version)
        now += 0.1
    heads = 20  # a new reason is told at once
    rest = 60
    assert written[1] - written[0] <= heads + 1
    assert all(after - before <= 2 for before, after in pairwise(written[1:]))
    assert written[-1] - written[0] == heads + rest
    told = [api.objects[f"job-{n:03}"]["status"]["queuePosition"] for n in range(40, 120)]
    assert told == [1 + n // 20 for n in range(80)]
