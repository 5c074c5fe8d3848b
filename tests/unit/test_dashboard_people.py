"""Who is believed, for how long, and which requests are their own page's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from sihl_dashboard.records import SettingsError
from sihl_dashboard.server.acting import refusal_of
from sihl_dashboard.server.kept import Kept
from sihl_dashboard.server.kube import KubeError
from sihl_dashboard.server.local import check_host
from sihl_dashboard.server.logins import ProxyPeople, bearer
from sihl_dashboard.server.people import Person
from sihl_dashboard.server.refusals import (
    ForbiddenError,
    NotThereError,
    RefusalError,
    UnknownPersonError,
)
from sihl_dashboard.server.sessions import check_csrf, check_origin
from sihl_dashboard.server.settings import Settings
from sihl_dashboard.server.stores import stores_of_file


def request(**headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("POST", "/", {"Host": "dash.example", **named})


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ({}, True),
        ({"Origin": "https://dash.example"}, True),
        ({"Origin": "https://dash.example", "Sec_Fetch_Site": "same-origin"}, True),
        ({"Origin": "https://id.example", "X_Forwarded_Host": "id.example"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec_Fetch_Site": "cross-site"}, False),
        ({"Sec_Fetch_Site": "same-site"}, False),
        ({"Origin": "https://dash.example.evil.example"}, False),
    ],
)
def test_a_request_of_another_page_is_told_apart(headers: dict[str, str], is_own: bool) -> None:
    if is_own:
        check_origin(request(**headers))
    else:
        with pytest.raises(ForbiddenError):
            check_origin(request(**headers))


def test_an_action_needs_what_only_the_person_s_own_page_knows() -> None:
    anna = Person("anna", "token", secret="one")
    check_csrf(request(X_CSRF=anna.csrf or ""), anna)
    for given in ("", "0" * 64, Person("anna", "token", secret="two").csrf or ""):
        with pytest.raises(ForbiddenError):
            check_csrf(request(X_CSRF=given), anna)
    check_csrf(request(), Person("anna", "token"))  # a header of their own: no browser adds that


def test_a_person_s_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(Person("anna", "token", secret="hidden", token="hidden"))


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("127.0.0.1:80", True), ("localhost", True), ("[::1]:8000", True),
        ("evil.example:80", False), ("127.0.0.1.evil.example", False), ("", False),
        ("localhost:80:90", False),
    ],
)  # fmt: skip
def test_a_machine_s_own_names_are_few(host: str, is_here: bool) -> None:
    asked = make_mocked_request("GET", "/", {"Host": host})
    if is_here:
        check_host(asked)
    else:
        with pytest.raises(ForbiddenError):
            check_host(asked)


@pytest.mark.parametrize(
    ("given", "token"),
    [
        ("Bearer abc.def", "abc.def"), ("bearer abc", "abc"), ("Basic abc", None), ("", None),
        ("Bearer ", None), ("Bearer a b", None), ("Bearer a\x7f", None), ("Bearer ä", None),
    ],
)  # fmt: skip
def test_a_token_is_one_word(given: str, token: str | None) -> None:
    assert bearer(request(Authorization=given)) == token


async def test_a_proxy_makes_nobody_one_of_the_cluster_s_own() -> None:
    people = ProxyPeople("X-User", "X-Groups")
    anna = await people.of(request(X_User="anna", X_Groups="vision, system:masters,,staff"))
    assert anna.groups == ("staff", "vision", "system:authenticated")
    assert anna.token is None
    for wrong in ({}, {"X_User": ""}, {"X_User": "system:admin"}, {"X_User": "a\x00"}):
        with pytest.raises(UnknownPersonError):
            await people.of(request(**wrong))


async def test_a_good_answer_is_kept_longer_than_a_bad_one_and_few_are_kept() -> None:
    now, asked = [0.0], list[str]()
    kept: Kept[str, str] = Kept(
        lambda answer: 30 if answer == "yes" else 5, most=2, clock=lambda: now[0]
    )

    async def ask(key: str, answer: str) -> str:
        async def told() -> str:
            asked.append(key)
            await asyncio.sleep(0)
            return answer

        return await kept.get(key, told)

    for at, times in ((0, (1, 1)), (4, (1, 1)), (6, (1, 2)), (29, (1, 3)), (31, (2, 3))):
        now[0] = at
        assert (await ask("good", "yes"), await ask("bad", "no")) == ("yes", "no")
        assert (asked.count("good"), asked.count("bad")) == times, at
    await asyncio.gather(*(ask("new", "yes") for _ in range(9)))
    assert asked.count("new") == 1
    assert len(kept) == 2


async def test_an_answer_that_failed_is_asked_for_again() -> None:
    kept: Kept[str, str] = Kept(lambda _: 30)

    async def away() -> str:
        raise OSError

    async def here() -> str:
        return "yes"

    for _ in range(2):
        with pytest.raises(OSError):
            await kept.get("key", away)
    assert await kept.get("key", here) == "yes"


@pytest.mark.parametrize(
    ("status", "told"),
    [(0, 503), (401, 401), (403, 403), (404, 404), (409, 409), (422, 422), (400, 422), (500, 503),
     (429, 503)],
)  # fmt: skip
def test_what_the_api_server_refuses_is_refused_likewise(status: int, told: int) -> None:
    found: RefusalError = refusal_of(KubeError(status, "Reason", "message"))
    assert found.status == told


def test_settings_come_from_the_environment_and_what_can_be_none_is_named() -> None:
    found = Settings.from_environment(
        {"SIHL_DASHBOARD_LOGIN": "proxy", "SIHL_DASHBOARD_NAMESPACES": "a, b", "OTHER": "x"}
    )
    assert (found.login, found.namespaces, found.port) == ("proxy", ("a", "b"), 8080)
    for wrong in ({"SIHL_DASHBOARD_LOGIN": "x"}, {"SIHL_DASHBOARD_PORT": "http"}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            Settings.from_environment(wrong)


def test_each_namespace_has_the_store_that_the_file_names(tmp_path: Path) -> None:
    file = tmp_path / "stores.json"
    keys = {"endpoint": "http://127.0.0.1:9", "bucket": "b", "accessKeyId": "k",
            "secretAccessKey": "hidden"}  # fmt: skip
    file.write_text(json.dumps({"team-a": {**keys, "prefix": "runs"}, "team-b": keys}))
    stores = stores_of_file(file, None)
    assert stores.namespaces() == ["team-a", "team-b"]
    assert stores.of("team-a") is stores.of("team-a")
    assert stores.of("team-a") is not stores.of("team-b")
    with pytest.raises(NotThereError):
        stores.of("team-c")
    stores.close()
    for text in ("", "[]", '{"team-a": 1}', '{"team-a": {"endpoint": "http://x"}}'):
        file.write_text(text)
        with pytest.raises(SettingsError) as told:
            stores_of_file(file, None)
        assert "hidden" not in str(told.value)
