"""The dashboard on a real API server: who sees what, and whose rights act."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from yarl import URL

from sihl_api.trainingjob import GROUP, PLURAL
from sihl_dashboard.records import FolderPlace
from sihl_dashboard.server.acting import KubeActor
from sihl_dashboard.server.cluster import Cluster
from sihl_dashboard.server.guard import HEADERS
from sihl_dashboard.server.kube import Kube
from sihl_dashboard.server.logins import ProxyPeople, TokenPeople
from sihl_dashboard.server.meters import Meters
from sihl_dashboard.server.mirror import mirrored
from sihl_dashboard.server.people import People
from sihl_dashboard.server.reviews import Reviews
from sihl_dashboard.server.routes import ROUTES
from sihl_dashboard.server.sessions import COOKIE
from sihl_dashboard.server.state import State
from sihl_dashboard.server.stores import OneStore
from tests.support.chart import one, render
from tests.support.dashboard import API, Looker, a_browser, looking, send_malformed, until
from tests.support.identity import proxied
from tests.support.objects import SPEC
from tests.support.oidc import Provider
from tests.support.operators import Team
from tests.support.recorded import recorded, train
from tests.support.waiting import eventually

A, B = "team-a", "team-b"
SYSTEM = "dashboard-system"
NIGHT, SECRET = "night.01234567", "secret.89abcdef"
SEES: dict[str, Any] = {"apiGroups": [GROUP], "resources": [PLURAL], "verbs": ["list"]}
READS: dict[str, Any] = {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}
ACTS: dict[str, Any] = {
    "apiGroups": [GROUP], "resources": [PLURAL], "verbs": ["create", "patch", "delete"],
}  # fmt: skip
OF_JOBS = {"project": "cells", "job": SECRET, "step": "1", "head": "boxes", "attempt": "1",
           "file": "000.png"}  # fmt: skip
QUERIES = {"curves": f"jobs={SECRET}", "metrics": f"jobs={SECRET}", "search": "q=secret",
           "differences": f"jobs={SECRET}", "same-images": f"jobs={SECRET}"}  # fmt: skip


@dataclass(frozen=True)
class Ground:
    """Accounts of two namespaces, and what makes their tokens."""

    core: client.CoreV1Api
    rbac: client.RbacAuthorizationV1Api
    host: str
    authority: str

    def account(self, namespace: str, name: str, *rules: dict[str, Any]) -> str:
        """A new account with these rights to its namespace, and its token."""
        self.core.create_namespaced_service_account(namespace, {"metadata": {"name": name}})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        self.grant(namespace, name, subject, *rules)
        return self.token(namespace, name)

    def grant(
        self, namespace: str, name: str, subject: dict[str, str], *rules: dict[str, Any]
    ) -> None:
        """Give somebody a new role."""
        metadata = {"name": name}
        self.rbac.create_namespaced_role(namespace, {"metadata": metadata, "rules": list(rules)})
        self.rbac.create_namespaced_role_binding(
            namespace,
            {
                "metadata": metadata,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                "subjects": [subject],
            },
        )

    def token(self, namespace: str, name: str) -> str:
        """An account's."""
        asked = {"spec": {"expirationSeconds": 3600}}
        found = self.core.create_namespaced_service_account_token(name, namespace, asked)
        return str(found.status.token)

    def token_that_ends(self, namespace: str, name: str, seconds: int) -> str:
        """An account's, signed as the cluster would if it gave any for less than ten minutes.

        A token is taken for a minute longer than it says (the leeway for clocks), which is why that
        minute is gone from this one already.
        """
        header, payload, _ = self.token(namespace, name).split(".")
        claims = json.loads(_decoded(payload))
        begins = int(time.time()) - 3600
        claims |= {"iat": begins, "nbf": begins, "exp": int(time.time()) - 60 + seconds}
        signed = f"{header}.{_encoded(json.dumps(claims).encode())}"
        key = Path(self.authority).with_name("sa.key")
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", key, "-binary"],
            input=signed.encode(), capture_output=True, check=True,
        )  # fmt: skip
        return f"{signed}.{_encoded(signature.stdout)}"

    def configuration(self, token: str) -> Any:
        """What the client library makes of such a token in a pod."""
        found = client.Configuration()
        found.host, found.ssl_ca_cert = self.host, self.authority
        found.api_key = {"authorization": f"Bearer {token}", "BearerToken": f"Bearer {token}"}
        return found


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def ground(api: client.ApiClient) -> Iterator[Ground]:
    core, rbac = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
    for name in (A, B, SYSTEM):
        core.create_namespace({"metadata": {"name": name}})
    role = one(render(), "ClusterRole", "sihl-dashboard")
    rbac.create_cluster_role({**role, "metadata": {"name": "dashboard-test"}})
    core.create_namespaced_service_account(SYSTEM, {"metadata": {"name": "dashboard"}})
    rbac.create_cluster_role_binding(
        {
            "metadata": {"name": "dashboard-test"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                        "name": "dashboard-test"},
            "subjects": [{"kind": "ServiceAccount", "name": "dashboard", "namespace": SYSTEM}],
        }
    )  # fmt: skip
    node = {"metadata": {"name": "gpu-1"}}
    core.create_node(node)
    core.patch_node_status("gpu-1", {"status": {"allocatable": {"nvidia.com/gpu": "4"}}})
    yield Ground(core, rbac, api.configuration.host, api.configuration.ssl_ca_cert)
    core.delete_node("gpu-1")
    rbac.delete_cluster_role_binding("dashboard-test")
    for name in (A, B, SYSTEM):
        core.delete_namespace(name)


@pytest.fixture(scope="module")
def people(ground: Ground) -> dict[str, str]:
    """Tokens by name."""
    return {
        "viewer": ground.account(A, "viewer", SEES, READS),
        "onlooker": ground.account(A, "onlooker", SEES),
        "editor": ground.account(A, "editor", SEES, READS, ACTS),
        "other": ground.account(B, "other", SEES, READS, ACTS),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Records of both namespaces; the second one's is a secret."""
    night = recorded(tmp_path)
    night.job()
    night.metrics(1, 0, train(1, 1.0))
    night.log(1, 0, "a line\n")
    theirs = recorded(tmp_path, "secret", uid="89abcdef01234567")
    theirs.job()
    theirs.metrics(1, 0, train(1, 1.0))
    theirs.log(1, 0, "secret\n")
    theirs.put(f"{theirs.paths.pictures(1, 1)}boxes/000.png", b"secret")
    (tmp_path / B / "cells").mkdir(parents=True)
    shutil.move(tmp_path / A / "cells" / SECRET, tmp_path / B / "cells" / SECRET)
    return tmp_path


@asynccontextmanager
async def dashboard(
    ground: Ground, folder: Path, is_proxied: bool = False
) -> AsyncIterator[Looker]:
    """As the Deployment has it, but that records lie in a folder and answers are kept briefly."""
    configuration = ground.configuration(ground.token(SYSTEM, "dashboard"))
    cluster, meters = Cluster(), Meters()
    async with Kube(configuration) as kube, mirrored(kube, cluster):
        reviews = Reviews(kube, meters, yes=0.2, no=0.1)
        people: People = TokenPeople(reviews)
        if is_proxied:
            people = ProxyPeople("X-Forwarded-User", "X-Forwarded-Groups")
        state = State(
            OneStore(FolderPlace(folder)), people, reviews, cluster, KubeActor(kube),
            meters=meters, ask_again=0.2,
        )  # fmt: skip
        async with looking(state) as looker:
            while not cluster.is_listed:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            yield looker


@pytest_asyncio.fixture
async def looker(ground: Ground, folder: Path) -> AsyncIterator[Looker]:
    async with dashboard(ground, folder) as looker:
        yield looker


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def asking(namespace: str) -> Iterator[str]:
    """Every address below a namespace that can be read."""
    for route in ROUTES:
        if route.method == "GET" and "{namespace}" in route.path and route.path.startswith(API):
            path = route.path.format(namespace=namespace, **OF_JOBS)
            yield f"{path}?{QUERIES.get(path.rpartition('/')[2], '')}"


# --- who sees what ---------------------------------------------------------------------------


async def test_each_sees_their_own_namespace_and_of_another_nothing_by_any_route(
    looker: Looker, people: dict[str, str]
) -> None:
    for path in asking(B):
        status, body = await looker.get(path, **bearing(people["other"]))
        assert status == 200, (path, body)
        found = await looker.get(path, **bearing(people["viewer"]))
        missing = await looker.get(path.replace(B, "no-such"), **bearing(people["viewer"]))
        assert found == missing, path
        assert found[0] == 404, path
        assert (await looker.get(path))[0] == 401, path
    for name, namespace in (("viewer", A), ("other", B)):
        _, overview = await looker.get(f"{API}/overview", **bearing(people[name]))
        assert [each["name"] for each in overview["namespaces"]] == [namespace]


async def test_no_guess_leads_to_another_namespace(looker: Looker, people: dict[str, str]) -> None:
    own = f"{API}/namespaces/{A}/projects/cells"
    guesses = [
        f"{API}/namespaces/{B.upper()}/projects/cells/jobs",
        f"{API}/namespaces/{A}%2f..%2f{B}/projects/cells/jobs",
        f"{API}/namespaces/{A}/projects/..%2f..%2f{B}%2fcells/jobs",
        f"{API}/namespaces/{A}%00{B}/projects/cells/jobs",
        f"{API}/namespaces/%74eam-b/projects/cells/jobs",
        f"{own}/jobs/..%2f..%2f{B}%2fcells%2f{SECRET}",
        f"{own}/jobs/{SECRET}",
        f"{own}/curves?jobs={SECRET}",
        f"{own}/curves?jobs=..%2f..%2f{B}%2fcells%2f{SECRET}",
        f"{own}/jobs/{NIGHT}/pictures/1/..%2f..%2f..%2f..%2f..%2f..%2f{B}/1/000.png",
        f"{API}/stream?jobs={B}/cells/{SECRET}",
        f"{API}/stream?jobs={A}/cells/{NIGHT},{B}/cells/{SECRET}",
        f"{API}/stream?projects={B}/cells",
    ]
    for guess in guesses:
        url = f"{looker.served.url}{guess}"
        async with looker.session.get(
            URL(url, encoded=True), headers=bearing(people["viewer"])
        ) as answer:
            body = await answer.text()
            is_empty = answer.status == 200 and '"curves":[]' in body
            assert answer.status in (400, 404) or is_empty, (guess, answer.status, body)
            assert '"points":1' not in body


async def test_logs_are_for_those_who_may_read_the_logs_of_pods(
    looker: Looker, people: dict[str, str]
) -> None:
    job = f"{API}/namespaces/{A}/projects/cells/jobs/{NIGHT}"
    for path in (f"{job}/log", f"{job}/log/search?q=a", f"{job}/log.txt"):
        assert (await looker.get(path, **bearing(people["viewer"])))[0] == 200
        assert (await looker.get(path, **bearing(people["onlooker"])))[0] == 404
    assert (await looker.get(job, **bearing(people["onlooker"])))[0] == 200


async def test_a_proxy_s_headers_name_people_whose_rights_then_count(
    ground: Ground, folder: Path, people: dict[str, str]
) -> None:
    ground.rbac.create_namespaced_role_binding(
        A,
        {
            "metadata": {"name": "by-group"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "viewer"},
            "subjects": [
                {"kind": "Group", "name": "vision", "apiGroup": "rbac.authorization.k8s.io"}
            ],
        },
    )
    async with dashboard(ground, folder, is_proxied=True) as looker:
        job = f"{API}/namespaces/{A}/projects/cells/jobs/{NIGHT}"
        named = {"X-Forwarded-User": "anna@example.com", "X-Forwarded-Groups": "staff,vision"}
        assert (await looker.get(job, **named))[0] == 200
        _, me = await looker.get(f"{API}/me", **named)
        assert (me["user"], me["mode"], me["canAct"]) == ("anna@example.com", "proxy", False)
        for headers, status in (
            ({**named, "X-Forwarded-Groups": "staff"}, 404),
            ({**named, "X-Forwarded-Groups": "system:masters"}, 404),
            ({"X-Forwarded-User": "system:admin"}, 401),
            ({"X-Forwarded-Groups": "vision"}, 401),
            (bearing(people["viewer"]), 401),
        ):
            assert (await looker.get(job, **headers))[0] == status, headers


# --- how long --------------------------------------------------------------------------------


async def test_a_revoked_token_ends_open_streams(ground: Ground, looker: Looker) -> None:
    token = ground.account(A, "leaver", SEES)
    async with a_browser(**bearing(token)) as session:
        theirs = Looker(looker.served, looker.state, session)
        events = theirs.events(f"jobs={A}/cells/{NIGHT}")
        await until(events, "job")
        ground.core.delete_namespaced_service_account("leaver", A)
        assert (await until(events, "end")).data["code"] == "log-in"
        assert (await theirs.get(f"{API}/me"))[0] == 401


async def test_a_token_that_expires_ends_open_streams(ground: Ground, looker: Looker) -> None:
    ground.account(A, "guest", SEES)
    token = ground.token_that_ends(A, "guest", seconds=10)
    async with a_browser(**bearing(token)) as session:
        theirs = Looker(looker.served, looker.state, session)
        events = theirs.events(f"jobs={A}/cells/{NIGHT}")
        await until(events, "job")
        assert (await until(events, "end")).data["code"] == "log-in"
        assert (await theirs.get(f"{API}/me"))[0] == 401


async def test_a_right_that_is_taken_away_ends_open_streams(ground: Ground, looker: Looker) -> None:
    token = ground.account(A, "loser", SEES)
    async with a_browser(**bearing(token)) as session:
        theirs = Looker(looker.served, looker.state, session)
        events = theirs.events(f"overview=1&jobs={A}/cells/{NIGHT}")
        await until(events, "job")
        ground.rbac.delete_namespaced_role_binding("loser", A)
        assert (await until(events, "end")).data["code"] == "not-found"
        assert (await theirs.get(f"{API}/namespaces/{A}/projects/cells/jobs"))[0] == 404


async def test_undecided_is_closed(looker: Looker, ground: Ground, people: dict[str, str]) -> None:
    configuration = ground.configuration("none")
    configuration.host = "https://127.0.0.1:9"
    async with Kube(configuration) as nobody:
        looker.state.people = TokenPeople(Reviews(nobody, Meters()))
        status, told = await looker.get(f"{API}/overview", **bearing(people["viewer"]))
        assert (status, told["error"]["code"]) == (503, "undecided")


# --- logging in ------------------------------------------------------------------------------


async def test_a_login_is_a_cookie_that_no_script_reads_and_no_other_page_sends(
    looker: Looker, people: dict[str, str]
) -> None:
    url = f"{looker.served.url}{API}"
    bad: Any
    for bad in ({"token": "guess"}, {"token": ""}, {"token": "a b"}, {}, []):
        async with looker.session.post(f"{url}/login", json=bad) as answer:
            assert answer.status in (400, 401), bad
            assert COOKIE not in answer.cookies
    async with looker.session.post(f"{url}/login", json={"token": people["editor"]}) as answer:
        assert answer.status == 200
        cookie = answer.cookies[COOKIE]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    me = await looker.found(f"{API}/me")
    assert (me["user"], me["mode"], me["canAct"]) == (
        f"system:serviceaccount:{A}:editor", "token", True,
    )  # fmt: skip
    jobs = f"{url}/namespaces/{A}/trainingjobs"
    for headers in (
        {},
        {"X-CSRF": "0" * 64},
        {"X-CSRF": me["csrf"], "Origin": "https://evil.example"},
        {"X-CSRF": me["csrf"], "Sec-Fetch-Site": "cross-site"},
    ):
        async with looker.session.post(jobs, data=b"{}", headers=headers) as answer:
            assert answer.status == 403, headers
    async with looker.session.post(f"{url}/logout") as answer:
        assert answer.status == 200
    assert (await looker.get(f"{API}/me"))[0] == 401


async def test_it_answers_with_its_security_headers_and_lets_nobody_keep_answers(
    looker: Looker, people: dict[str, str]
) -> None:
    for path in (f"{API}/overview", f"{API}/namespaces/{B}/projects/cells/jobs", "/", f"{API}/x"):
        for headers in (bearing(people["viewer"]), {}):
            async with looker.session.get(f"{looker.served.url}{path}", headers=headers) as answer:
                assert set(HEADERS) <= set(answer.headers), path
                kept = answer.headers["Cache-Control"]
                assert "no-store" in kept or "private" in kept


async def test_a_thousand_malformed_requests_leave_it_alive(
    looker: Looker, people: dict[str, str]
) -> None:
    await send_malformed(looker.served, "Authorization", f"Bearer {people['viewer']}")
    status, overview = await looker.get(f"{API}/overview", **bearing(people["viewer"]))
    assert status == 200
    assert [each["name"] for each in overview["namespaces"]] == [A]


# --- the cluster's side, and acting on it ----------------------------------------------------


async def test_the_overview_has_queues_and_gpus_as_they_are_now(
    api: client.ApiClient, looker: Looker, people: dict[str, str]
) -> None:
    team = Team(api, A)
    made = team.submit("waits", {"sihl.ai/queue": "line"}, priority=3)
    try:
        team.set_status(
            "waits",
            {
                "phase": "Queued", "queuePosition": 1,
                "conditions": [{"type": "Admitted", "status": "False", "reason": "QueueBusy",
                                "message": "another runs",
                                "lastTransitionTime": "2027-01-15T08:00:00Z"}],
            },
        )  # fmt: skip

        async def job() -> Any:
            _, found = await looker.get(f"{API}/overview", **bearing(people["viewer"]))
            queues = found["namespaces"][0]["queues"]
            jobs = [each for queue in queues for each in queue["jobs"]]
            told = [each for each in jobs if each["reason"]]
            return (found["nodes"], queues[0]["name"], told[0]) if told else None

        while (seen := await job()) is None:  # noqa: ASYNC110 (the watch tells it)
            await asyncio.sleep(0.05)
        nodes, queue, live = seen
        assert {node["name"]: node["gpus"] for node in nodes}["gpu-1"]["allocatable"] == 4
        assert (queue, live["name"], live["position"], live["reason"], live["priority"]) == (
            "line", "waits", 1, "QueueBusy", 3,
        )  # fmt: skip
        folder = f"waits.{made['metadata']['uid'][:8]}"
        status, told = await looker.get(
            f"{API}/namespaces/{A}/projects/cells/jobs/{folder}", **bearing(people["viewer"])
        )
        assert (status, told["document"], told["live"]["phase"]) == (200, None, "Queued")
        _, listed = await looker.get(
            f"{API}/namespaces/{A}/projects/cells/jobs", **bearing(people["viewer"])
        )
        assert [each["name"] for each in listed["waiting"]] == ["waits"]
        _, other = await looker.get(f"{API}/overview", **bearing(people["other"]))
        assert "waits" not in str(other)
    finally:
        team.delete("waits")


async def test_actions_are_the_person_s_own(
    api: client.ApiClient, looker: Looker, people: dict[str, str]
) -> None:
    team = Team(api, A)
    job = {"apiVersion": "sihl.ai/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "mine"},
           "spec": SPEC}  # fmt: skip

    async def act(name: str, method: str, path: str, body: Any = None) -> tuple[int, str]:
        url = f"{looker.served.url}{API}/namespaces/{path}"
        data = yaml.safe_dump(body) if body is not None else None
        async with looker.session.request(
            method, url, data=data, headers=bearing(people[name])
        ) as answer:
            return answer.status, await answer.text()

    jobs = f"{A}/trainingjobs"
    assert (await act("viewer", "POST", jobs, job))[0] == 403
    assert (await act("other", "POST", jobs, job))[0] == 404
    assert (await act("editor", "POST", f"{B}/trainingjobs", job))[0] == 404
    with pytest.raises(ApiException):
        team.job("mine")
    assert (await act("editor", "POST", jobs, job))[0] == 201
    assert (await act("editor", "POST", jobs, job))[0] == 409
    wrong = {**job, "metadata": {"name": "wrong"}, "spec": {**SPEC, "colour": "red"}}
    status, told = await act("editor", "POST", jobs, wrong)
    assert (status, "colour" in told) == (422, True)
    elsewhere = {**job, "metadata": {"name": "x", "namespace": B}}
    assert (await act("editor", "POST", jobs, elsewhere))[0] == 400
    for name, change, status in (
        ("viewer", {"suspend": True}, 403),
        ("other", {"suspend": True}, 404),
        ("editor", {"project": "x"}, 400),
        ("editor", {"suspend": "yes"}, 400),
        ("editor", {"suspend": True}, 200),
        ("editor", {"priority": 7}, 200),
    ):
        assert (await act(name, "PATCH", f"{jobs}/mine", change))[0] == status, (name, change)
    spec = team.job("mine")["spec"]
    assert (spec["suspend"], spec["priority"], spec["project"]) == (True, 7, "cells")
    assert (await act("viewer", "DELETE", f"{jobs}/mine"))[0] == 403
    assert (await act("editor", "DELETE", f"{jobs}/mine"))[0] == 200

    def gone() -> bool:
        try:
            team.job("mine")
        except ApiException as error:
            return bool(error.status == 404)
        return False

    await asyncio.to_thread(eventually, gone, 60, 0.1)


# --- behind an identity provider that the API server trusts ---------------------------------


async def test_the_token_that_a_proxy_passes_on_is_believed_and_acts_by_its_own_rights(
    api: client.ApiClient, ground: Ground, looker: Looker, provider: Provider, tmp_path: Path
) -> None:
    user, group = "oidc:anna@example.com", "oidc:vision"
    provider.claims |= {"email": "anna@example.com", "groups": ["vision"]}
    team, role = Team(api, A), {"apiGroup": "rbac.authorization.k8s.io"}
    team.submit("theirs")
    job, theirs = f"/namespaces/{A}/projects/cells/jobs/{NIGHT}", f"/namespaces/{A}/trainingjobs"
    stop = (f"{theirs}/theirs", {"suspend": True})
    proxy = proxied(tmp_path, provider, looker.served.url, with_tokens=True)
    with proxy as address:
        async with a_browser() as session:

            async def status(path: str, change: Any = None) -> int:
                url, method = f"{address}{API}{path}", "GET" if change is None else "PATCH"
                async with session.request(method, url, json=change) as answer:
                    return answer.status

            async def becomes(expected: int, path: str, change: Any = None) -> None:
                """Rights that are given count once the API server's own cache knows them."""
                while (found := await status(path, change)) != expected:
                    assert found in (403, 404), (path, found)
                    await asyncio.sleep(0.05)

            assert await status("/me") == 401
            async with session.get(f"{address}/oauth2/start?rd={API}/me", ssl=False) as answer:
                me = await answer.json()
            assert (me["user"], me["mode"], me["canAct"]) == (user, "token", True)
            async with session.get(f"{address}{API}/me", headers=bearing("x")) as answer:
                assert (await answer.json())["user"] == user  # whatever a browser says
            own = client.ApiClient(ground.configuration(provider.tokens[-1]))
            review = client.AuthenticationV1Api(own).create_self_subject_review({})
            assert review.status.user_info.username == user
            assert group in review.status.user_info.groups

            assert await status(job) == 404
            ground.grant(A, "looks", {"kind": "Group", "name": group, **role}, SEES, READS)
            await becomes(200, f"{job}/log")
            assert await status(f"/namespaces/{B}/projects/cells/jobs") == 404
            assert await status(*stop) == 403
            ground.grant(A, "acts", {"kind": "User", "name": user, **role}, ACTS)
            await becomes(200, *stop)
            assert team.job("theirs")["spec"]["suspend"] is True
    for claims in ({"aud": "another-client"}, {"exp": 1}, {"email_verified": False}):
        token = provider.identity(**claims)
        assert (await looker.get(f"{API}/me", **bearing(token)))[0] == 401, claims
