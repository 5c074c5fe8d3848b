"""The verbs that read records, on records in a folder and on a real S3 server."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sihl_api.record import MANIFEST
from sihl_dashboard.cli.arguments import VERBS
from sihl_dashboard.cli.main import run
from tests.support import s3 as s3_server
from tests.support.recorded import SPEC, Recorded, changed, recorded, train, validation
from tests.support.records import make_folder
from tests.support.s3 import S3Server


def done(step: int = 100, number: int = 1, **more: Any) -> dict[str, Any]:
    """An attempt that went well."""
    return {
        "number": number, "startedAt": "2026-01-02T03:00:00Z", "firstStep": 1, "lastStep": step,
        "reason": "Succeeded", **more,
    }  # fmt: skip


def measured(value: float, step: int = 90) -> dict[str, Any]:
    """A summary's metrics."""
    point = {"step": step, "value": value}
    told = dict.fromkeys(("best", "last", "min", "max"), point)
    return {"validation": {"boxes/map": {**told, "better": "higher"}}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Records of two jobs of a project: `day` is better, and differs in its steps."""
    root = tmp_path / "record"
    for name, steps, value in (("night", 100, 0.4), ("day", 200, 0.6)):
        record = recorded(root, name, uid=f"{name}0123456789")
        record.job(changed(SPEC, maxSteps=steps))
        record.summary([done()], **measured(value), progress={"step": 100, "maxSteps": steps})
        record.metrics(1, 0, train(10, 1.5), validation(20, value), train(20, 0.5))
        record.log(1, 0, "first\n50 %\r\x1b[32m100 %\x1b[0m\n\x1b[2Jlast\n")
    return root


def typed(*words: str, environ: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, output and what was said beside it."""
    out, err = io.StringIO(), io.StringIO()
    found = {"KUBECONFIG": "/nowhere", **(environ or {})}
    return run(words, io.StringIO(), out, err, found), out.getvalue(), err.getvalue()


@pytest.fixture
def sihl(root: Path, tmp_path: Path) -> Any:
    """Types a command about the records in the folder."""

    def type_(*words: str) -> tuple[int, str, str]:
        cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        return typed(*words, "--record", str(root), environ=cache)

    return type_


def cells(text: str) -> list[list[str]]:
    """A table's cells."""
    return [re.split(r" {3,}", line) for line in text.splitlines()]


def test_a_record_is_listed_without_any_cluster(sihl: Any) -> None:
    code, out, err = sihl("list")
    assert (code, err) == (0, "")
    header, *rows = cells(out)
    assert header == ["NAME", "PROJECT", "STATE", "REASON", "STEP", "SUBMITTED", "RECORD"]
    assert [row[:5] for row in rows] == [
        ["day", "cells", "Succeeded", "Succeeded", "100/200"],
        ["night", "cells", "Succeeded", "Succeeded", "100/100"],
    ]
    assert [row["job.state"] for row in json.loads(sihl("-o", "json")[1])] == ["Succeeded"] * 2


def test_metrics_are_summarised_with_their_best_and_its_step(sihl: Any) -> None:
    _, out, _ = sihl("metrics", "day")
    assert cells(out)[1] == ["validation/boxes/map", "0.6", "90", "0.6", "0.6", "0.6", "higher"]


def test_metrics_of_a_record_without_summary_are_what_its_lines_say(root: Path, sihl: Any) -> None:
    record = recorded(root, "live", uid="live0123456789")
    record.job()
    record.metrics(1, 0, train(1, 3.0), train(2, 1.0), train(3, 2.0))
    _, out, _ = sihl("metrics", "live")
    assert cells(out)[1][:1] + cells(out)[1][-3:] == ["train/loss", "2", "1", "3"]


@pytest.mark.parametrize("summary", [b"{", b'{"updatedAt": "2026-01-02T04:00:00Z"}'])
def test_what_lines_say_is_shown_where_a_summary_tells_nothing_and_what_is_wrong_once(
    root: Path, sihl: Any, summary: bytes
) -> None:
    record = recorded(root, "cut", uid="cut0123456789ab")
    record.job()
    record.put(record.paths.summary, summary)
    record.metrics(1, 0, train(1, 3.0), {**train(2, 1.0), "step": "two"})
    _, out, err = sihl("metrics", "cut")
    assert cells(out)[1][0] == "train/loss"
    _, out, err = sihl("metrics", "cut", "--csv")
    assert out.count("\n") == 2
    assert sorted(set(err.splitlines())) == sorted(err.splitlines())


def test_a_record_of_which_no_line_can_be_read_says_so(root: Path, sihl: Any) -> None:
    record = recorded(root, "cut", uid="cut0123456789ab")
    record.job()
    record.metrics(1, 0, {**train(2, 1.0), "step": "two"})
    assert "1 lines of metrics could not be read" in sihl("metrics", "cut", "--plot")[2]


def test_a_record_that_is_named_and_not_there_is_told_beside_those_that_are(sihl: Any) -> None:
    code, out, err = sihl("list", "day", "nobody", "-o", "name")
    assert (code, out, "no record of a job nobody" in err) == (1, "day\n", True)


def test_csv_has_every_point_that_counts_and_none_that_was_superseded(
    root: Path, sihl: Any
) -> None:
    record = recorded(root, "long", uid="long0123456789")
    record.job(changed(SPEC, maxSteps=10**6))
    record.summary([done(60_000), done(10**6, 2, resumedAtStep=50_000, firstStep=50_001)])
    record.metrics(1, 0, *(train(step, step / 2) for step in (1, 2, 3, 50_000, 50_001, 60_000)))
    later = {step: step / 4 for step in (50_001, 50_002, 700_000, 999_999, 10**6)}
    later[700_000] = float("nan")
    lines = [train(step, loss) for step, loss in later.items()]
    record.metrics(2, 0, *lines[:2], validation(50_002, 0.5), *lines[2:])
    code, out, err = sihl("metrics", "long", "--csv")
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(int(row["step"]), row["train/loss"]) for row in rows] == [
        (1, "0.5"), (2, "1.0"), (3, "1.5"), (50_000, "25000.0"), (50_001, "12500.25"),
        (50_002, "12500.5"), (700_000, "nan"), (999_999, "249999.75"), (1_000_000, "250000.0"),
    ]  # fmt: skip
    assert [row["step"] for row in rows if row["validation/boxes/map"]] == ["50002"]


def test_json_has_points_and_what_became_of_each_metric_that_was_asked_for(sihl: Any) -> None:
    _, out, _ = sihl("metrics", "day", "--json", "--metric", "validation/boxes/map")
    found = json.loads(out)
    assert (found["job"], found["record"]) == ("day", "day.day01234")
    assert found["metrics"]["validation/boxes/map"]["best"] == 0.6
    assert [point["values"] for point in found["points"]] == [{"validation/boxes/map": 0.6}]


def test_a_metric_that_a_job_does_not_have_is_refused(sihl: Any) -> None:
    code, _, err = sihl("metrics", "day", "--metric", "validation/boxes/ap")
    assert (code, "has no metric validation/boxes/ap" in err) == (1, True)


def test_a_comparison_shows_what_differs_and_what_came_of_it(sihl: Any) -> None:
    _, out, _ = sihl("compare", "night", "day", "--diff-only")
    assert [row for row in cells(out) if row != [""]] == [
        ["SETTING", "night", "day"],
        ["training.maxSteps", "100", "200"],
        ["The data does not differ, as far as is known."],
        ["BEST RESULT", "night", "day"],
        ["boxes/map", "0.4 at 90", "0.6 at 90 (+0.2, better)"],
    ]


def test_a_whole_comparison_marks_what_differs_among_what_is_shared(sihl: Any) -> None:
    _, out, _ = sihl("compare", "night", "day")
    assert [line for line in out.splitlines() if line.startswith("*")] == [
        line for line in out.splitlines() if "training.maxSteps" in line
    ]
    assert "  training.batchSize" in out
    assert "training.maxDuration" not in out  # which neither has chosen
    assert json.loads(sihl("compare", "night", "day", "-o", "json")[1])["settings"] == [
        {"path": "spec.training.maxSteps", "values": {"night.night012": 100, "day.day01234": 200}}
    ]


def test_of_jobs_of_one_name_the_latest_is_meant_and_a_folder_names_another(
    root: Path, sihl: Any
) -> None:
    again = recorded(root, "night", uid="again0123456789")
    again.job(changed(SPEC, maxSteps=7), created_at="2026-01-03T03:00:00Z")
    again.log(1, 0, "again\n")
    assert sihl("logs", "night")[1] == "again\n"
    assert sihl("logs", "night.night012")[1].startswith("first\n")
    header = cells(sihl("compare", "night", "night.night012", "--diff-only")[1])[0]
    assert header == ["SETTING", "night.again012", "night.night012"]


def test_a_log_is_printed_whole_by_attempt_or_from_its_end(root: Path, sihl: Any) -> None:
    record = recorded(root, "night", uid="night0123456789")
    record.log(2, 0, "".join(f"line {number}\n" for number in range(200)))
    first = "first\n100 %\n\\x1b[2Jlast\n"
    assert sihl("logs", "night", "--attempt", "1")[1] == first
    assert sihl("logs", "night")[1].splitlines()[2:5] == ["\\x1b[2Jlast", "line 0", "line 1"]
    assert sihl("logs", "night", "--tail", "150")[1].splitlines() == [
        f"line {number}" for number in range(50, 200)
    ]
    assert len(sihl("logs", "night")[1].splitlines()) == 203


def test_who_reads_the_first_lines_only_ends_it_quietly(root: Path) -> None:
    recorded(root, "night", uid="night0123456789").log(1, 0, "a line\n" * 100_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "sihl_dashboard.cli", "logs", "night", "--record", str(root)],
        env={**os.environ, "XDG_CACHE_HOME": str(root.parent)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "a line\n"
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == ("", 0)
    process.stderr.close()


def test_the_log_of_a_job_that_has_ended_is_not_waited_for(sihl: Any) -> None:
    assert sihl("logs", "day", "-f")[1].startswith("first\n")


# --- the model -------------------------------------------------------------------------------


def put_model(record: Recorded, folder: Path, files: dict[str, bytes]) -> None:
    """A final model, as a job leaves it."""
    made = make_folder(folder, files, step=100, model=True)
    for file in made.iterdir():
        record.put(record.paths.model + file.name, file.read_bytes())


FILES = {"model.safetensors": bytes(range(256)) * 40_000, "config.json": b"{}"}


def test_a_model_is_pulled_whole_with_its_manifest(root: Path, tmp_path: Path, sihl: Any) -> None:
    put_model(recorded(root, "day", uid="day0123456789"), tmp_path / "made", FILES)
    code, out, _ = sihl("pull", "day", "--to", str(tmp_path / "models" / "day"))
    assert (code, out) == (0, f"{tmp_path}/models/day\n")
    found = {file.name: file.read_bytes() for file in Path(out.strip()).iterdir()}
    assert found.pop(MANIFEST)
    assert found == FILES
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["day"]


@pytest.mark.parametrize("broken", [b"x" + FILES["model.safetensors"][1:], b"", b"short"])
def test_a_model_that_is_not_what_its_manifest_says_leaves_nothing_behind(
    root: Path, tmp_path: Path, sihl: Any, broken: bytes
) -> None:
    record = recorded(root, "day", uid="day0123456789")
    put_model(record, tmp_path / "made", FILES)
    record.put(f"{record.paths.model}model.safetensors", broken)
    code, out, err = sihl("pull", "day", "--to", str(tmp_path / "models" / "day"))
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "model.safetensors is not what its manifest says" in err
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/b", "..", ""])
def test_a_manifest_cannot_name_a_file_elsewhere(
    root: Path, tmp_path: Path, sihl: Any, name: str
) -> None:
    record = recorded(root, "day", uid="day0123456789")
    put_model(record, tmp_path / "made", {})
    manifest = json.loads((tmp_path / "made" / MANIFEST).read_text())
    manifest["files"] = {name: {"bytes": 0, "sha256": ""}}
    record.put(record.paths.model + MANIFEST, json.dumps(manifest).encode())
    code, _, err = sihl("pull", "day", "--to", str(tmp_path / "models" / "day"))
    assert (code, "refused" in err) == (1, True)
    assert not (tmp_path / "models").exists()


def test_a_folder_that_exists_is_never_written_to(root: Path, tmp_path: Path, sihl: Any) -> None:
    put_model(recorded(root, "day", uid="day0123456789"), tmp_path / "made", FILES)
    code, _, err = sihl("pull", "day", "--to", str(tmp_path))
    assert (code, "exists already: choose another by --to" in err) == (1, True)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (None, "it is written when the job succeeds, which it has not yet"),
        ("Succeeded", "the job succeeded, and the store does not have it any more"),
        ("StoppedByUser", "the job is stopped, and a model is written when"),
        ("OutOfMemory", "the job failed, and a model is written when"),
    ],
)
def test_a_job_without_a_model_says_by_its_end_why_it_has_none(
    root: Path, sihl: Any, tmp_path: Path, reason: str | None, told: str
) -> None:
    recorded(root, "day", uid="day0123456789").summary([done(reason=reason)])
    code, _, err = sihl("pull", "day", "--to", str(tmp_path / "x"))
    assert (code, err.startswith(f"error: day has no model: {told}")) == (1, True), err


# --- what is hostile, and what is not there --------------------------------------------------


def test_nothing_of_a_hostile_record_reaches_a_terminal_as_an_escape_sequence(
    root: Path, sihl: Any
) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e"
    for name in ("evil", "twin"):
        record = recorded(root, name, uid=f"{name}0123456789")
        record.job(SPEC, image=f"{name}{evil}", versions={evil: name})
        record.summary([done(reason=evil)], validation={evil: {"last": {"step": 1, "value": 1}}})
        record.metrics(1, 0, {**train(1, 1.0), "values": {evil: 1.0}})
        record.log(1, 0, f"{evil}\n")
    commands = [
        ["list"], ["list", "-o", "json"], ["list", "-o", "yaml"], ["metrics", "evil"],
        ["metrics", "evil", "--plot"], ["metrics", "evil", "--around", "1"],
        ["metrics", "evil", "--csv"], ["metrics", "evil", "--json"], ["logs", "evil"],
        ["compare", "evil", "twin"], ["compare", "evil", "twin", "-o", "json"],
        ["logs", evil], ["pull", evil],
    ]  # fmt: skip
    for words in commands:
        _, out, err = sihl(*words)
        assert (out + err).replace("\n", "").isprintable(), words
        assert out or err


def test_an_attempt_that_the_record_does_not_have_is_told_in_a_line(sihl: Any) -> None:
    code, out, err = sihl("logs", "night", "--attempt", "7")
    assert (code, out, err) == (1, "", "error: the record of night has no attempt 7\n")


@pytest.mark.parametrize("verb", ["logs", "metrics", "pull"])
def test_a_job_that_has_no_record_is_told_in_a_line(sihl: Any, verb: str) -> None:
    code, out, err = sihl(verb, "nobody")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "has no record of a job nobody in namespace team-a" in err


def test_of_several_namespaces_one_must_be_chosen(root: Path, sihl: Any) -> None:
    (root / "team-b" / "cells").mkdir(parents=True)
    code, _, err = sihl("list")
    assert (code, "of team-a, team-b: choose one by -n" in err) == (1, True)
    assert len(cells(sihl("list", "-n", "team-a")[1])) == 3
    assert cells(sihl("list", "-A")[1])[0][0] == "NAMESPACE"


def test_a_folder_that_is_not_there_is_named() -> None:
    code, _, err = typed("list", "--record", "/no/where")
    assert (code, err) == (1, "error: --record /no/where: there is no such folder\n")


# --- S3 --------------------------------------------------------------------------------------

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def test_a_bucket_s_records_are_read_with_the_keys_of_the_environment(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Recorded(
        lambda key, data: s3.put("data", {key: data}), "night", "kubectl", "night0123456789"
    )
    record.job()
    record.log(1, 0, "from the bucket\n")
    put_model(record, tmp_path / "made", FILES)
    where = ("--record", "s3://data/kubectl", "--endpoint", s3.endpoint)
    for key, value in zip(KEYS, s3.reader, strict=True):
        monkeypatch.setenv(key, value)
    assert typed("logs", "night", *where)[1] == "from the bucket\n"
    assert typed("pull", "night", "--to", str(tmp_path / "x"), *where)[0] == 0
    assert (tmp_path / "x" / "model.safetensors").read_bytes() == FILES["model.safetensors"]

    monkeypatch.setenv(KEYS[1], "another")
    code, _, err = typed("logs", "night", *where)
    assert (code, len(err.splitlines())) == (1, 1)
    assert "correct the access key" in err
    assert "another" not in err


def test_a_temporary_key_reads_with_its_session_token_and_not_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server.serve(tmp_path / "s3", lends=True) as server:
        server.make_bucket("data")
        record = Recorded(lambda key, data: server.put("data", {key: data}), "night")
        record.job()
        record.log(1, 0, "for a while\n")
        key, secret, token = server.lend()
        monkeypatch.setenv(KEYS[0], key)
        monkeypatch.setenv(KEYS[1], secret)
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        where = ("--record", "s3://data", "--endpoint", server.endpoint)
        assert typed("logs", "night", *where)[1] == "for a while\n"

        monkeypatch.setenv("AWS_SESSION_TOKEN", token[:-5] + "AAAAA")
        code, out, err = typed("logs", "night", *where)
        assert (code, out, len(err.splitlines())) == (1, "", 1)
        assert token[:20] not in err
        monkeypatch.delenv("AWS_SESSION_TOKEN")
        assert typed("logs", "night", *where)[0] == 1


# --- what is written about it ----------------------------------------------------------------


def test_the_document_tells_every_verb_and_shows_none_that_does_not_exist() -> None:
    text = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
    shown = re.findall(r"kubectl sihl ([a-z]+)", text)
    assert sorted(set(shown)) == sorted(VERBS)


def test_a_job_can_be_cloned_from_its_record_alone(sihl: Any) -> None:
    code, out, _ = sihl("clone", "night", "--name", "next", "--set", "training.seed=7", "--dry-run")
    found = yaml.safe_load(out)
    assert (code, found["metadata"]) == (0, {"name": "next"})
    assert (found["spec"]["training"]["seed"], found["spec"]["training"]["maxSteps"]) == (7, 100)
    assert "null" not in out
