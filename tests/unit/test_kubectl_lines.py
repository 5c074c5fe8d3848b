"""What is printed of jobs, which exit code their end has, and what may be typed."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.trainingjob import QUEUE_ANNOTATION
from sihl_dashboard.cli.arguments import VERBS, with_verb
from sihl_dashboard.cli.completion import FILES, NO_FILES, NO_SPACE, candidates
from sihl_dashboard.cli.endings import ending
from sihl_dashboard.cli.jobs import Job, age, headline, in_queues, listed, progress_bar
from sihl_dashboard.cli.main import run
from sihl_dashboard.cli.session import Session
from sihl_dashboard.cli.terminal import Terminal, bar, shown, shown_line, table
from sihl_dashboard.cli.verbs import action
from sihl_operator.queues import Queues
from tests.support.objects import NOW, job

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\nb\u202ec\x9b1m"


def told(name: str = "night", phase: str | None = None, **more: Any) -> Job:
    """A job, as `tests.support.objects` makes one."""
    view = job(name, phase, **more)
    return Job({**view.raw, "status": view.stored_status})


def why(reason: str, message: str = "", kind: str = "Admitted", status: str = "False") -> Any:
    """Conditions."""
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": "2027-01-15T08:00:00Z",
        }
    ]


# --- text ------------------------------------------------------------------------------------


@given(st.text())
def test_no_text_reaches_a_terminal_as_anything_but_printed_characters(text: str) -> None:
    assert shown(text).isprintable()
    assert shown_line(text).replace("\t", "").isprintable()


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("step\t1", "step\t1"),
        ("1 %\r50 %\r100 %\r\n", "100 %"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[2J\x9b", "\\x1b[2J\\x9b"),
    ],
)
def test_a_line_of_a_log_is_what_a_terminal_would_end_up_with(line: str, seen: str) -> None:
    assert shown_line(line) == seen


def test_columns_are_aligned_and_only_phases_are_coloured() -> None:
    rows = [["a", "Failed"], ["long-name", HOSTILE]]
    assert table(["NAME", "PHASE"], rows)[:2] == ["NAME        PHASE", "a           Failed"]
    coloured = "\n".join(table(["NAME", "PHASE"], rows, colours=True))
    assert coloured.replace("\x1b[31mFailed\x1b[0m", "").replace("\n", "").isprintable()


def test_nobody_who_looks_sees_neither_bars_nor_colours() -> None:
    out, err = io.StringIO(), io.StringIO()
    terminal = Terminal(out, err, {"TERM": "xterm"})
    terminal.progress(bar(0.5, "step 1 of 2"))
    terminal.note("beside")
    terminal.say("answer")
    assert (out.getvalue(), err.getvalue(), terminal.colours) == ("answer\n", "beside\n", False)


class Screen(io.StringIO):
    """What a terminal is sent."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_is_drawn_over_and_taken_away_before_the_next_line() -> None:
    screen = Screen()
    terminal = Terminal(screen, screen, {"TERM": "xterm"})
    terminal.progress(bar(0.5, "step 1 of 2"))
    terminal.say("answer")
    assert terminal.colours
    assert screen.getvalue().split("\r\x1b[K")[1:] == [
        "[############............] step 1 of 2",
        "answer\n",
    ]
    assert not Terminal(screen, screen, {"TERM": "xterm", "NO_COLOR": "1"}).colours


# --- tables ----------------------------------------------------------------------------------

RUNNING = {
    "queuePosition": None,
    "nodeName": "node-a",
    "attempt": 2,
    "progress": {"step": 42, "maxSteps": 100, "percent": 42, "remaining": "1m20s"},
    "metrics": {"boxes/map": "0.61", "boxes/ap50": "0.8"},
    "conditions": why("Admitted", status="True"),
}


def test_a_list_answers_what_each_job_does_or_waits_for() -> None:
    header, rows = listed([told(phase="Running", status=RUNNING)], NOW, wide=True)
    assert dict(zip(header, rows[0], strict=True)) == {
        "NAME": "night", "QUEUE": "cells", "PHASE": "Running", "REASON": "Admitted",
        "POSITION": None, "PROGRESS": "42%", "LEFT": "1m20s", "AGE": "0s", "NODE": "node-a",
        "ATTEMPT": 2, "METRICS": "boxes/ap50=0.8 boxes/map=0.61",
    }  # fmt: skip


def test_a_job_that_no_operator_has_seen_waits_in_the_queue_that_it_names() -> None:
    new = told(annotations={QUEUE_ANNOTATION: "fast"})
    header, rows = listed([new], NOW, namespaces=True)
    found = dict(zip(header, rows[0], strict=True))
    assert (found["NAMESPACE"], found["QUEUE"], found["PHASE"]) == ("team", "fast", "Queued")


def test_a_status_that_cannot_be_read_is_as_if_it_were_not_there() -> None:
    odd = Job({"metadata": {"name": "odd"}, "status": {"phase": "Dancing", "attempt": "x"}})
    assert headline(odd) == "Queued"
    assert listed([odd], NOW)[1][0][0] == "odd"


@pytest.mark.parametrize(
    ("created", "text"),
    [
        ("2027-01-15T07:59:30Z", "30s"),
        ("2027-01-13T08:00:00Z", "2d"),
        ("2027-01-15T09:00:00Z", "0s"),
        ("", ""),
        ("yesterday", ""),
    ],
)
def test_an_age_is_short_whatever_the_clocks_say(created: str, text: str) -> None:
    assert age(created, NOW) == text


JOBS = st.builds(
    job,
    name=st.text("ab", min_size=1, max_size=3),
    phase=st.sampled_from([None, "Queued", "Running", "Stopped", "Succeeded", "Failed"]),
    created=st.sampled_from(["2027-01-15T08:00:00Z", "2027-01-15T08:00:01Z"]),
    annotations=st.sampled_from([{}, {QUEUE_ANNOTATION: "fast"}]),
    priority=st.integers(-1, 1),
    suspend=st.booleans(),
)


@given(st.lists(JOBS, max_size=8, unique_by=lambda job: job.name))
def test_a_queue_stands_in_the_operator_s_order(views: list[Any]) -> None:
    queues = Queues()
    for view in views:
        queues.put(view)
    jobs = [Job({**view.raw, "status": view.stored_status}) for view in views]
    waiting = [(each.queue, each.name) for each, place in in_queues(jobs) if place is not None]
    assert waiting == [
        (queue, view.name) for (_, queue), found in sorted(queues.items()) for view in found.line
    ]
    holding = {each.name for each, place in in_queues(jobs) if place is None}
    assert holding == {name for _, name in queues.active()}


# --- what a person who waits is told ---------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "status", "line"),
    [
        (None, {}, "Queued"),
        (
            "Queued",
            {"queuePosition": 3, "conditions": why("WaitingForQueue", "a is ahead.")},
            "Queued, position 3 (WaitingForQueue: a is ahead.)",
        ),
        (
            "Starting",
            {"conditions": why("ImageNotPulled", "x:1", "DatasetReady")},
            "Starting (ImageNotPulled: x:1)",
        ),
        ("Running", RUNNING, "Running: attempt 2 on node-a"),
        (
            "Running",
            RUNNING | {"conditions": why("StoreFull", "It is full.", "RecordWritable")},
            "Running: attempt 2 on node-a. It is full.",
        ),
        ("Stopping", {}, "Stopping: it saves a checkpoint first"),
        ("Failed", {"conditions": why(HOSTILE)}, f"Failed ({shown(HOSTILE)})"),
    ],
)
def test_a_change_is_told_with_its_reason(phase: str | None, status: Any, line: str) -> None:
    assert headline(told(phase=phase, status=status)) == line


def test_a_bar_shows_what_is_fetched_then_how_far_training_is() -> None:
    fetching = {"progress": {"datasetBytes": 512, "datasetTotalBytes": 1024}}
    assert progress_bar(told(phase="Starting", status=fetching)).endswith("512 B of 1.0 KiB")
    assert progress_bar(told(phase="Running", status=RUNNING)).endswith(
        "step 42 of 100, 1m20s left"
    )


CHECKPOINT = {"step": 7, "uri": "s3://x", "savedAt": "2027-01-15T08:00:00Z"}


@pytest.mark.parametrize(
    ("phase", "suspend", "status", "code", "text"),
    [
        ("Succeeded", False, {"metrics": {"a/b": "1"}}, 0, "night succeeded: a/b 1$"),
        ("Failed", False, {"conditions": why("OutOfMemory", "raise it")}, 3,
         r"night failed \(OutOfMemory\): raise it"),
        ("Stopped", True, {"checkpoint": CHECKPOINT}, 4, "its checkpoint is of step 7"),
        ("Stopped", True, {}, 4, "it has no checkpoint"),
    ],
)  # fmt: skip
def test_an_exit_code_says_how_the_job_ended(
    phase: str, suspend: bool, status: Any, code: int, text: str
) -> None:
    found = ending(told(phase=phase, suspend=suspend, status=status))
    assert found is not None
    assert found.exit_code == code
    assert re.search(text, found.text)


@pytest.mark.parametrize("phase", [None, "Queued", "Starting", "Running", "Stopping"])
def test_a_job_that_goes_on_has_no_end(phase: str | None) -> None:
    assert ending(told(phase=phase, suspend=True)) is None


def test_a_stopped_job_that_was_resumed_has_not_ended() -> None:
    assert ending(told(phase="Stopped", suspend=False)) is None


def test_a_refused_job_has_failed_for_whoever_waits_until_its_user_has_changed_it() -> None:
    wrong = why("InvalidQueue", "Change the annotation.", "Accepted")
    job = told(phase="Queued", status={"conditions": wrong})
    found = ending(job)
    assert found is not None
    assert found.exit_code == 3
    assert "Change the annotation." in found.text
    raw = {**job.raw, "metadata": {**job.raw["metadata"], "generation": 2}}
    assert ending(Job(raw)) is None, "the operator has not seen it yet"


# --- what may be typed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ([], ["list"]),
        (["-A", "-o", "wide"], ["list", "-A", "-o", "wide"]),
        (["-n", "stop", "queue"], ["queue", "-n", "stop"]),
        (["--context=x", "logs", "a", "-f"], ["logs", "--context=x", "a", "-f"]),
        (["--help"], ["--help"]),
    ],
)
def test_without_a_verb_jobs_are_listed_and_options_may_stand_before_it(
    words: list[str], read: list[str]
) -> None:
    assert with_verb(words) == read


def typed(*words: str) -> tuple[int, str, str]:
    """Exit code, output and what was said beside it; no cluster is there."""
    out, err = io.StringIO(), io.StringIO()
    code = run(words, io.StringIO(), out, err, {"KUBECONFIG": "/nowhere"})
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("verb", ["watch", "destroy", HOSTILE])
def test_a_verb_that_does_not_exist_is_refused_with_those_that_do(verb: str) -> None:
    code, out, err = typed(verb)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert [name for name in VERBS if name not in err] == []
    assert err.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    "words",
    [
        ["submit"],
        ["compare", "a"],
        ["logs", "a", "--tail", "0"],
        ["list", "--phase", "dancing"],
        ["list", "-o", "xml"],
        ["resume", "a", "b", "--wait"],
        ["submit", "-f", "x", "--wait", "--follow"],
        ["metrics", "a", "--cs"],
        ["ui", "--port", "65536"],
    ],
)
def test_what_is_mistyped_is_told_in_a_line_and_ends_with_2(words: list[str]) -> None:
    code, out, err = typed(*words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("error: ")


ONE = {
    "apiVersion": "v1", "kind": "Config", "current-context": "one",
    "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}  # fmt: skip

TYPED = """
import io, sys
from sihl_dashboard.cli.main import run
code = run(sys.argv[1:], io.StringIO(), io.StringIO(), err := io.StringIO(), {})
print(code, err.getvalue(), sorted({name.partition(".")[0] for name in sys.modules}))
"""
CLUSTERS, RECORDS = {"kubernetes"}, {"numpy", "boto3", "botocore", "safetensors"}
DASHBOARD = {"aiohttp", "PIL", "prometheus_client", "celpy"}


@pytest.mark.parametrize(
    ("words", "told", "needed", "not_needed"),
    [
        (["list", "--kubeconfig", "{one}"], "did not answer", CLUSTERS, RECORDS | DASHBOARD),
        (["stop", "a", "--kubeconfig", "{one}"], "did not answer", CLUSTERS, RECORDS | DASHBOARD),
        (["metrics", "a", "--record", "{records}"], "holds no records", RECORDS, CLUSTERS),
    ],
)
def test_a_verb_loads_what_it_needs_and_nothing_of_the_others(
    tmp_path: Path, words: list[str], told: str, needed: set[str], not_needed: set[str]
) -> None:
    one = tmp_path / "config"
    one.write_text(json.dumps(ONE))
    typed = [word.format(one=one, records=tmp_path) for word in words]
    found = subprocess.run(
        [sys.executable, "-c", TYPED, *typed], capture_output=True, text=True, check=True
    ).stdout
    assert told in found
    loaded = set(re.findall(r"'(\w+)'", found))
    assert needed <= loaded
    assert not not_needed & loaded


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_somewhere(verb: str) -> None:
    for record in (None, "runs"):
        session = Session(Namespace(verb=verb, record=record), *[None] * 3)  # type: ignore[arg-type]
        assert callable(action(session))


def test_help_of_a_verb_is_asked_for_either_way() -> None:
    assert with_verb(["help", "logs"]) == ["logs", "--help"]
    assert with_verb(["help"]) == ["--help"]


@pytest.mark.parametrize(
    ("words", "found", "directive"),
    [
        (["sto"], ["stop"], NO_FILES),
        (["stop", "n"], ["night"], NO_FILES),
        (["stop", "night", ""], ["day"], NO_FILES),
        (["-n", "team", "logs", ""], ["day", "night"], NO_FILES),
        (["list", "-o", "w"], ["wide"], NO_FILES),
        (["list", "--phase", "Sto"], ["Stopping", "Stopped"], NO_FILES),
        (["logs", "night", "--ta"], ["--tail"], NO_FILES),
        (["logs", "-f", ""], ["day", "night"], NO_FILES),
        (["submit", "-f", ""], [], FILES),
        (["submit", "-f", "x", "--set", "training.maxS"], ["training.maxSteps="], NO_SPACE),
        (["queue", ""], [], NO_FILES),
        (["check", ""], [], FILES),
        (["check", "job.yaml", "--lo"], ["--local"], NO_FILES),
        (["metrics", "night", "--pl"], ["--plot"], NO_FILES),
        (["ui", "--no"], ["--no-browser"], NO_FILES),
    ],
)
def test_tab_offers_what_may_stand_there(
    words: list[str], found: list[str], directive: int
) -> None:
    offered, told = candidates(words, lambda _: ["day", "night"])
    assert ([each.partition("\t")[0] for each in offered], told) == (found, directive)
