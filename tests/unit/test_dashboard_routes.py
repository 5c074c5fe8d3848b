"""Every address of the dashboard's server, over a real folder of records."""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
import yaml

from sihl_dashboard.records import FolderPlace, JobRef, Records
from sihl_dashboard.records.place import Content
from sihl_dashboard.server import connections, project
from sihl_dashboard.server.ahead import first_asked, first_curves
from sihl_dashboard.server.guard import HEADERS
from sihl_dashboard.server.local import LocalPeople
from sihl_dashboard.server.modules import version_of
from sihl_dashboard.server.pages import KINDS, STATIC
from sihl_dashboard.server.routes import ROUTES
from tests.support.dashboard import (
    API,
    PROJECT,
    Looker,
    a_browser,
    looking,
    send_malformed,
    state_over,
)
from tests.support.recorded import SPEC, changed, recorded, train, validation
from tests.support.waiting import eventually

NIGHT, DAY = "night.01234567", "day.89abcdef"
ENDED = {"startedAt": "2026-01-02T03:00:00Z", "firstStep": 1, "endedAt": "2026-01-02T04:00:00Z"}
BEST = {"last": {"step": 9, "value": 0.5}, "best": {"step": 9, "value": 0.5}, "better": "higher"}


def write(root: Path) -> None:
    """Two jobs: one of two attempts, with all that a record can have; one plain."""
    night = recorded(root)
    night.job()
    night.metrics(
        1, 0, train(1, 1.0), train(2, float("nan")), validation(3, 0.25), train(4, float("inf"))
    )
    night.metrics(2, 0, train(3, 0.5), validation(6, 0.5))
    night.log(1, 0, "2026-01-02T03:00:00Z one\n2026-01-02T03:00:10Z \x1b[31mError: two\x1b[0m\n")
    night.log(2, 0, "2026-01-02T04:00:00Z three\nkilled\n")
    night.summary(
        [
            {"number": 1, **ENDED, "reason": "Evicted"},
            {"number": 2, **ENDED, "resumedAtStep": 2, "reason": "=cmd()"},
        ],
        validation={"boxes/map": BEST},
        train={"loss": BEST},
    )
    for step in (3, 6):
        night.put(f"{night.paths.pictures(2, step)}boxes/000.png", b"\x89PNG night")
    day = recorded(root, "day", uid="89abcdef01234567")
    day.job(changed(SPEC, batchSize=8))
    day.summary([{"number": 1, **ENDED, "reason": "Succeeded"}], validation={"boxes/map": BEST})
    day.put(f"{day.paths.pictures(1, 6)}boxes/000.png", b"\x89PNG day")


@pytest_asyncio.fixture
async def looker(tmp_path: Path) -> AsyncIterator[Looker]:
    write(tmp_path)
    async with looking(state_over(tmp_path)) as looker:
        yield looker


async def test_the_overview_names_what_has_records(looker: Looker) -> None:
    found = await looker.found(f"{API}/overview")
    assert [(n["name"], n["projects"]) for n in found["namespaces"]] == [("team-a", ["cells"])]
    assert (found["cluster"], found["nodes"]) == (False, [])


async def test_jobs_are_filtered_sorted_and_shown_by_the_columns_that_are_wanted(
    looker: Looker,
) -> None:
    query = "columns=spec.training.batchSize,job.state&sort=spec.training.batchSize"
    found = await looker.found(f"{PROJECT}/jobs?{query}")
    assert [(row["job"], row["values"]) for row in found["rows"]] == [
        (NIGHT, {"spec.training.batchSize": 4, "job.state": "Failed"}),
        (DAY, {"spec.training.batchSize": 8, "job.state": "Succeeded"}),
    ]
    assert found["columns"]["spec.training.batchSize"] is True
    found = await looker.found(f"{PROJECT}/jobs?where=spec.training.batchSize:ge:8")
    assert ([row["job"] for row in found["rows"]], found["total"]) == ([DAY], 1)
    found = await looker.found(f"{PROJECT}/jobs?where=validation/boxes/map:best:eq:0.5&limit=1")
    assert (len(found["rows"]), found["total"]) == (1, 2)


async def test_curves_lie_on_one_grid_and_what_is_no_number_is_null_and_counted(
    looker: Looker,
) -> None:
    found = await looker.found(f"{PROJECT}/curves?jobs={NIGHT}&buckets=6")
    curve = next(each for each in found["curves"] if each["metric"] == "train/loss")
    for name in ("min", "max", "last", "clock"):
        assert len(curve[name]) == len(found["grid"]["x"]) == 6
    assert found["grid"]["x"] == sorted(found["grid"]["x"])
    assert [value for value in curve["last"] if value is not None] == [1.0, 0.5]
    assert found["gaps"] == 2
    assert {ghost["metric"]: ghost["attempt"] for ghost in found["ghosts"]} == {
        "train/loss": 1, "validation/boxes/map": 1,
    }  # fmt: skip


async def test_a_job_is_told_whole_and_its_metrics_with_what_is_better(looker: Looker) -> None:
    found = await looker.found(f"{PROJECT}/jobs/{NIGHT}")
    assert (found["job"], found["name"], found["isFinal"], found["live"]) == (
        NIGHT, "night", False, None,
    )  # fmt: skip
    assert [attempt["reason"] for attempt in found["attempts"]] == ["Evicted", "=cmd()"]
    assert found["spec"]["training"]["optimizer"]["learningRate"] == 0.001
    assert "the job failed" in found["lacksModel"]
    found = await looker.found(f"{PROJECT}/metrics?jobs={NIGHT},{DAY}")
    assert found["validation"] == ["boxes/map"]
    assert found["better"]["validation/boxes/map"] == "higher"


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [0, 1, 2, 3]),
        ("count=2", [0, 1]),
        ("from=END&direction=backward&count=2", [2, 3]),
        ("line=1&count=1", [1]),
        ("line=2&direction=backward&count=1", [1]),
        ("at=1767322809&count=1", [0]),
        ("at=1767322811&count=1", [1]),
        ("attempt=2", [0, 1]),
        ("from=1:25&count=1", [1]),
    ],
)
async def test_a_log_is_read_from_either_end_from_a_line_from_a_time_and_from_a_link(
    looker: Looker, query: str, numbers: list[int]
) -> None:
    found = await looker.found(f"{PROJECT}/jobs/{NIGHT}/log?{query}")
    assert [line["number"] for line in found["lines"]] == numbers


@pytest.mark.parametrize(
    ("query", "numbers", "more"),
    [
        ("q=T", [0, 1, 2], False),
        ("q=t&count=1", [0], True),
        ("kind=error", [1, 3], False),
        ("kind=error&direction=backward&count=1", [3], True),
        ("q=one&direction=backward", [0], False),
        ("q=three&direction=backward&from=1:25", [], False),
    ],
)
async def test_a_log_is_searched_both_ways(
    looker: Looker, query: str, numbers: list[int], more: bool
) -> None:
    found = await looker.found(f"{PROJECT}/jobs/{NIGHT}/log/search?{query}")
    assert ([hit["number"] for hit in found["hits"]], found["more"]) == (numbers, more)


@pytest.mark.parametrize(("folder", "times"), [(DAY, 2), (NIGHT, 3)])
async def test_what_is_told_of_jobs_that_have_succeeded_is_made_anew_no_more(
    looker: Looker, folder: str, times: int
) -> None:
    ref, made = JobRef("team-a", "cells", folder), []

    def work(records: Records) -> dict[str, Any]:
        made.append(records.job(ref).facts)
        return {}

    for _ in range(3):  # the first time nobody has looked at the job yet
        await looker.state.answered(("q",), "team-a", work, max_age=0, refs=[ref])
    assert len(made) == times


async def test_who_learns_of_metrics_finds_what_was_measured_read(
    looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = looker.state.stores.of("team-a")
    told, loop, read = asyncio.Queue[int](), asyncio.get_running_loop(), records.read_ahead
    monkeypatch.setattr(
        records, "read_ahead",
        lambda refs: loop.call_soon_threadsafe(told.put_nowait, read(refs)),
    )  # fmt: skip
    for jobs, unread in ((NIGHT, 1), (f"{NIGHT},{DAY}", 0)):  # DAY has no summary: it was read
        await looker.found(f"{PROJECT}/metrics?jobs={jobs}")
        assert await asyncio.wait_for(told.get(), 60) == unread


async def test_who_asks_for_metrics_of_lines_that_cannot_be_read_is_told_so(
    tmp_path: Path, looker: Looker
) -> None:
    torn = recorded(tmp_path, "torn")
    torn.job()
    torn.put(torn.paths.metrics(1, 0), b"no line\n" * 3)
    found = await looker.found(f"{PROJECT}/metrics?jobs={torn.ref.folder}")
    assert (found["train"], found["validation"]) == ([], [])
    what = "3 lines of metrics could not be read"
    assert found["troubles"] == [{"where": torn.ref.folder, "what": what}]


async def test_the_curves_that_a_page_draws_first_are_drawn_before_it_asks(looker: Looker) -> None:
    names = await looker.found(f"{PROJECT}/metrics?jobs={NIGHT}")
    query = first_curves(NIGHT, names)
    key = (f"{PROJECT}/curves", *(f"{name}={query[name]}" for name in sorted(query)))
    await asyncio.to_thread(eventually, lambda: looker.state.answers.last(key))
    found = await looker.found(f"{PROJECT}/curves?{urlencode(query)}")
    assert [curve["metric"] for curve in found["curves"]] == [query["metrics"]]


def test_where_nothing_was_measured_no_curves_are_drawn_first() -> None:
    assert first_curves(NIGHT, {"validation": [], "train": []}) == {}


async def test_a_log_is_downloaded_as_it_was_written(looker: Looker) -> None:
    _, text = await looker.get(f"{PROJECT}/jobs/{NIGHT}/log.txt")
    assert [line.split(b"Z ")[-1] for line in text.splitlines()] == [
        b"one", b"\x1b[31mError: two\x1b[0m", b"three", b"killed",
    ]  # fmt: skip


async def test_only_what_differs_is_compared_with_each_job_s_delta(looker: Looker) -> None:
    found = await looker.found(f"{PROJECT}/differences?jobs={NIGHT},{DAY}&baseline={NIGHT}")
    assert found["settings"] == [{"path": "spec.training.batchSize", "values": {NIGHT: 4, DAY: 8}}]
    assert [(score["job"], score["delta"]) for score in found["scores"]] == [
        (NIGHT, None), (DAY, 0.0),
    ]  # fmt: skip


async def test_the_same_images_of_jobs_are_found_and_their_bytes_run_nothing(
    looker: Looker,
) -> None:
    found = await looker.found(f"{PROJECT}/same-images?jobs={NIGHT},{DAY}")
    (image,) = found["images"]
    assert {job: picture["step"] for job, picture in image["pictures"].items()} == {
        NIGHT: 6, DAY: 6,
    }  # fmt: skip
    url = f"{looker.served.url}{PROJECT}/jobs/{NIGHT}/pictures/6/boxes/2/000.png"
    async with looker.session.get(url) as answer:
        assert await answer.read() == b"\x89PNG night"
        assert answer.headers["Content-Type"] == "image/png"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    for name in ("x.svg", "x.html", "..", "%2e%2e%2fjob.json", "%2e%2e"):
        status, _ = await looker.get(f"{PROJECT}/jobs/{NIGHT}/pictures/6/boxes/2/{name}")
        assert status in (400, 404), name


async def test_the_next_job_is_this_one_with_fields_changed(looker: Looker) -> None:
    _, text = await looker.get(f"{PROJECT}/jobs/{NIGHT}/manifest.yaml?set=training.maxSteps=500")
    found = yaml.safe_load(text)
    assert found["metadata"] == {"name": "night-2", "namespace": "team-a"}
    assert found["spec"]["training"]["maxSteps"] == 500
    assert found["spec"]["training"]["batchSize"] == 4
    status, told = await looker.get(f"{PROJECT}/jobs/{NIGHT}/manifest.yaml?set=training.steps=5")
    assert (status, "training.steps" in told["error"]["message"]) == (400, True)


async def test_an_export_runs_nothing_in_a_spreadsheet(looker: Looker) -> None:
    _, text = await looker.get(f"{PROJECT}/export.csv?columns=job.reason,job.attempts")
    assert sorted(text.decode().split()) == sorted(
        ["job,job.reason,job.attempts", f"{NIGHT},'=cmd(),2", f"{DAY},Succeeded,1"]
    )
    found = await looker.found(f"{PROJECT}/export.json")
    assert {job["job"] for job in found["jobs"]} == {NIGHT, DAY}


async def test_of_a_project_that_is_still_being_read_that_is_said_and_an_export_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(FolderPlace):
        may_go = threading.Event()

        def get(self, key: str) -> Content:
            self.may_go.wait(60)
            return super().get(key)

    write(tmp_path)
    monkeypatch.setattr(project, "_PATIENCE", 0.01)
    async with looking(state_over(Slow(tmp_path))) as looker:
        found = await looker.found(f"{PROJECT}/jobs")
        assert (found["rows"], found["look"]["isUnderWay"], found["look"]["at"]) == ([], True, 0)
        export = asyncio.create_task(looker.get(f"{PROJECT}/export.csv?columns=job.attempts"))
        await looker.found(f"{PROJECT}/jobs?limit=9")  # the export has been asked for by now
        Slow.may_go.set()
        _, text = await export
        assert len(text.decode().split()) == 3


async def test_an_answer_is_asked_for_again_by_its_hash_and_comes_packed(looker: Looker) -> None:
    url = f"{looker.served.url}{PROJECT}/jobs/{NIGHT}"
    async with looker.session.get(url) as answer:
        tag = answer.headers["ETag"]
        assert answer.headers["Content-Encoding"] == "gzip"
        assert "private" in answer.headers["Cache-Control"]
    async with looker.session.get(url, headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/projects/cells/jobs/none.00000000", 404),
        ("/projects/none/jobs", 404),
        ("/projects/cells/jobs/nofolder", 404),
        ("/projects/cells/curves", 400),
        ("/projects/cells/curves?jobs=night.01234567&buckets=0", 400),
        ("/projects/cells/curves?jobs=night.01234567&buckets=1e9", 400),
        ("/projects/cells/curves?jobs=night.01234567&axis=colour", 400),
        ("/projects/cells/curves?jobs=night.01234567&first=nan", 400),
        ("/projects/cells/jobs?where=nothing", 400),
        ("/projects/cells/jobs?limit=-1", 400),
        ("/projects/cells/jobs/night.01234567/log?from=1:x", 400),
        ("/projects/cells/jobs/night.01234567/log?attempt=7", 404),
        ("/projects/cells/differences?jobs=night.01234567&baseline=day.89abcdef", 400),
        ("/projects/%2e%2e/jobs", 404),
        ("/projects/a%2fb/jobs", 404),
        ("/projects/a%00b/jobs", 404),
    ],
)
async def test_what_can_be_none_is_refused_with_a_remedy(
    looker: Looker, path: str, status: int
) -> None:
    found, told = await looker.get(f"{API}/namespaces/team-a{path}")
    assert found == status, told
    assert told["error"]["message"]
    assert told["error"]["remedy"]


async def test_every_answer_has_the_security_headers(looker: Looker) -> None:
    paths = [
        "/", "/team-a/cells", "/static/../main.mjs", "/healthz", f"{API}/me", f"{API}/none",
        f"{PROJECT}/jobs", "/nothing/at/all/here", f"{PROJECT}/jobs/{NIGHT}/log.txt",
    ]  # fmt: skip
    for path in paths:
        async with looker.session.get(f"{looker.served.url}{path}") as answer:
            for name in HEADERS:
                assert name in answer.headers, (path, name)
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_what_is_no_request_is_answered_with_them_too_and_who_says_nothing_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answered(url: str, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(data)
        found = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return found

    monkeypatch.setattr(connections, "QUIET", 0.2)
    async with looking(state_over(tmp_path)) as looker:
        url = looker.served.url
        for wrong in (b"NO / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n"):
            found = await answered(url, wrong)
            assert b" 400 " in found.splitlines()[0]
            assert b"nosniff" in found
            assert b"default-src 'none'" in found
            assert b"Server: sihl" in found
        login = b"POST /api/v1/login HTTP/1.1\r\nHost: localhost:80\r\n"
        broken = await answered(
            url, login + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx"
        )
        assert b" 400 " in broken.splitlines()[0]
        assert await answered(url, login + b"Content-Length: 9\r\n\r\nhalf") == b""
        assert await answered(url, b"") == b""
        assert await answered(url, b"GET / HTTP/1.1\r\nHost: half") == b""


async def test_what_can_be_got_can_be_asked_for_without_its_body(looker: Looker) -> None:
    for path in ("/", "/team-a/cells", "/static/main.mjs", "/healthz", f"{API}/me",
                 f"{PROJECT}/jobs", f"{PROJECT}/jobs/{NIGHT}/log", f"{PROJECT}/export.csv",
                 f"{PROJECT}/jobs/{NIGHT}/log.txt", f"{PROJECT}/jobs/none.00000000"):  # fmt: skip
        url = f"{looker.served.url}{path}"
        async with looker.session.get(url) as whole, looker.session.head(url) as head:
            assert (head.status, await head.read()) == (whole.status, b""), path
            assert head.headers["Content-Type"] == whole.headers["Content-Type"]
            assert head.headers.get("ETag") == whole.headers.get("ETag")
    async with a_browser() as stranger, stranger.head(f"{looker.served.url}{PROJECT}/jobs") as told:
        assert told.status == 401
    async with looker.session.head(f"{looker.served.url}{API}/stream") as told:
        assert told.status == 405


def test_every_route_below_a_namespace_is_guarded_by_it() -> None:
    for route in ROUTES:
        if "/api/" in route.path and "login" not in route.path and "logout" not in route.path:
            assert route.need != "nothing", route.path
        if "{namespace}" in route.path and "/api/" in route.path:
            assert route.need in ("jobs", "logs", "act"), route.path
        assert ("/log" in route.path and "{job}" in route.path) == (route.need == "logs")


@pytest.mark.parametrize(
    ("address", "part"),
    [("/", "queue"), ("/login", "problem"), ("/team-a/cells", "parallel"),
     (f"/team-a/cells/{NIGHT}", "loghits")],
)  # fmt: skip
async def test_a_page_names_all_its_modules_at_once_and_a_browser_may_keep_them(
    looker: Looker, address: str, part: str
) -> None:
    _, page = await looker.get(address)
    named = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.decode())
    assert any(name.endswith(f"/parts/{part}.mjs") for name in named)
    for name in named:
        async with looker.session.get(f"{looker.served.url}{name}") as answer:
            assert answer.status == 200, name
            assert "immutable" in answer.headers["Cache-Control"]
    # An older page's address says what is there now, and is asked again each time.
    older = re.sub("v-[0-9a-f]{16}", f"v-{0:016x}", named[0])
    async with looker.session.get(f"{looker.served.url}{older}") as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, HEADERS["Cache-Control"])


async def test_a_page_names_what_its_first_part_takes_before_the_others_and_none_below_the_fold(
    looker: Looker,
) -> None:
    _, page = await looker.get("/team-a/cells")
    named = re.findall(r'rel="modulepreload" href="[^"]+/([^/"]+)"', page.decode())
    order = ["main.mjs", "compare.mjs", "curves.mjs", "uPlot.esm.js", "differences.mjs"]
    assert sorted(order, key=named.index) == order
    assert len(named) == len(set(named))
    assert "pictures.mjs" not in named  # until it is scrolled to


async def test_a_page_names_its_styles_its_charts_and_what_it_asks_first_too(
    looker: Looker,
) -> None:
    async with looker.session.get(f"{looker.served.url}/team-a/cells") as answer:
        page, told = await answer.text(), answer.headers["Link"]
    assert '<link rel="modulepreload" href="/assets/uplot/uPlot.esm.js">' in page
    assert re.search(r'rel="preload" as="style" href="/static/v-[0-9a-f]{16}/chart.css"', page)
    asked = [f"{API}/me", f"{PROJECT}/jobs?limit=1"]
    assert told == ", ".join(f"<{each}>; rel=preload; as=fetch; crossorigin" for each in asked)
    async with looker.session.get(f"{looker.served.url}/login") as answer:
        assert "Link" not in answer.headers  # it asks for nothing by itself


@pytest.mark.parametrize(
    ("page", "names", "jobs", "asked"),
    [
        ("login", {}, None, []),
        ("overview", {}, "a.1", ["/me"]),
        ("compare", {}, None, ["/me", "/jobs?limit=1"]),
        ("compare", {}, "a.1,b.2", ["/me", "/jobs?limit=1", "/metrics?jobs=a.1%2Cb.2"]),
        ("compare", {}, "-", ["/me", "/jobs?limit=1"]),
        ("compare", {}, "a.1,<b>", ["/me", "/jobs?limit=1"]),
        ("compare", {}, "a" * 2000, ["/me", "/jobs?limit=1"]),
        ("compare", {"project": "x>; y"}, "a.1", ["/me"]),
        ("job", {"job": "a.1"}, "b.2", ["/me", "/jobs/a.1", "/metrics?jobs=a.1"]),
    ],
)
def test_of_what_a_page_asks_first_only_what_all_spell_alike_is_asked_for_with_it(
    page: str, names: dict[str, str], jobs: str | None, asked: list[str]
) -> None:
    below = {"project": "cells"} if page in ("compare", "job") else {}
    found = first_asked(page, {"namespace": "team-a"} | below | names, jobs)
    assert [each.removeprefix(PROJECT).removeprefix(API) for each in found] == asked


def test_files_that_change_are_of_another_version(tmp_path: Path) -> None:
    shutil.copytree(STATIC, tmp_path, dirs_exist_ok=True)
    assert version_of(tmp_path) == version_of(STATIC)
    module = tmp_path / "parts" / "queue.mjs"
    module.write_text(module.read_text() + "\n")
    assert version_of(tmp_path) != version_of(STATIC)


def test_pages_have_no_python_among_them() -> None:
    assert STATIC.is_dir()
    assert not [path for path in STATIC.rglob("*") if path.suffix not in (*KINDS, "")]


async def test_files_outside_its_folders_are_not_served(looker: Looker) -> None:
    for path in ("/static/..%2fserver%2fapp.py", "/static/../server/app.py", "/static//etc/passwd",
                 "/static/%2e%2e/__init__.py", "/assets/uplot/..%2f..%2fx.css"):  # fmt: skip
        _, body = await looker.get(path)
        assert b"import" not in (body if isinstance(body, bytes) else b""), path


async def test_a_thousand_malformed_requests_leave_it_alive(looker: Looker) -> None:
    assert isinstance(looker.state.people, LocalPeople)
    cookies = looker.state.people.cookie.items()
    await send_malformed(looker.served, "Cookie", "; ".join(f"{k}={v}" for k, v in cookies))
    assert (await looker.found(f"{API}/me"))["mode"] == "local"
    assert (await looker.found(f"{PROJECT}/jobs"))["total"] == 2


# --- on one's own machine --------------------------------------------------------------------


async def test_only_the_browser_that_brought_the_secret_first_is_let_in(tmp_path: Path) -> None:
    write(tmp_path)
    async with looking(state_over(tmp_path)) as looker, a_browser() as stranger:
        async with stranger.get(f"{looker.served.url}{API}/overview") as answer:
            assert answer.status == 401
        async with stranger.get(looker.served.opening) as answer:
            assert answer.status == 401  # the looker has used it
        async with stranger.get(f"{looker.served.url}/open?secret=guess") as answer:
            assert answer.status == 401
        assert (await looker.get(f"{API}/me"))[0] == 200


async def test_a_page_of_another_name_that_leads_here_is_refused(looker: Looker) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        status, told = await looker.get(f"{API}/overview", Host=host)
        assert status in (400, 403), (host, told)
    assert (await looker.get(f"{API}/overview", Host="localhost:1234"))[0] == 200


async def test_nothing_is_acted_on_where_there_is_no_cluster(looker: Looker) -> None:
    me: dict[str, Any] = await looker.found(f"{API}/me")
    assert me["canAct"] is False
    url = f"{looker.served.url}{API}/namespaces/team-a/trainingjobs"
    async with looker.session.post(url, data=b"{}", headers={"X-CSRF": me["csrf"]}) as answer:
        assert answer.status == 403


@pytest.mark.slow
async def test_a_hostile_record_is_answered_as_far_as_it_can_be(tmp_path: Path) -> None:
    night = recorded(tmp_path)
    deep = '{"x":' * 400 + "1" + "}" * 400
    night.put(
        night.paths.job_json,
        b'{"name":"\\ud800","uid":"0123","spec":{"project":"<script>","huge":1' + b"0" * 300
        + b',"deep":' + deep.encode() + b"}}",
    )  # fmt: skip
    night.put(
        night.paths.metrics(1, 0),
        b'{"time":"2026-01-02T03:00:00Z","step":1,"kind":"train","values":{"\\ud800<b>":NaN,"a":1}}\n'
        b'{"time":"1026-01-02T03:00:00Z","step":2,"kind":"train","values":{"a":Infinity}}\n'
        b'{"time":"1026-01-02T03:00:00Z","step":3,"kind":"train","values":{"a":-1e300}}\n'
        b"not a line\n",
    )
    night.log(1, 0, "\x1b]0;title\x07" + "x" * 3_000_000 + "\ufffd\n\x00\n")
    async with looking(state_over(tmp_path)) as looker:
        for path in ("jobs", "jobs?columns=spec.huge,spec.project", f"jobs/{NIGHT}",
                     f"curves?jobs={NIGHT}", f"metrics?jobs={NIGHT}", f"jobs/{NIGHT}/log",
                     f"differences?jobs={NIGHT}", f"jobs/{NIGHT}/log/search?q=x",
                     "export.json", "export.csv"):  # fmt: skip
            status, body = await looker.get(f"{PROJECT}/{path}")
            assert status == 200, (path, body)
        found = await looker.found(f"{PROJECT}/curves?jobs={NIGHT}")
        assert (len(found["curves"]), found["gaps"]) == (2, 2)
        told = [each["what"] for each in found["troubles"]]
        assert "1 values of train/a are too large to be drawn" in told
        page = await looker.found(f"{PROJECT}/jobs/{NIGHT}/log")
        assert [line["cut"] for line in page["lines"]] == [True, False]
        assert len(page["lines"][0]["text"]) < 100_000
