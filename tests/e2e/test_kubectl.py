"""Every verb of `kubectl sihl` on the real cluster: two jobs of one queue, from file to model."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import yaml

from local_cluster.programs import program
from sihl_api.trainingjob import API_VERSION, KIND
from tests.e2e.harness import NAMESPACE, SMALL, Harness
from tests.support import screens
from tests.support.browsing import served
from tests.support.typed import Typing, rows

PROJECT = "q-verbs"
ENDLESS = "training.maxSteps=100000"


@pytest.fixture(scope="module")
def sihl(harness: Harness, tmp_path_factory: pytest.TempPathFactory) -> Typing:
    """A user of the namespace. The store's address is not one that this machine's names know."""
    file = tmp_path_factory.mktemp("user") / "kubeconfig"
    file.write_text(harness.cluster.kubeconfig.read_text())
    return Typing(file, NAMESPACE, "--endpoint", harness.store.endpoint)


@pytest.fixture(scope="module")
def job(harness: Harness, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job's file."""
    file = tmp_path_factory.mktemp("job") / "job.yaml"
    spec = {**SMALL, "project": PROJECT, "dataset": {"train": harness.location("datasets/few")}}
    text = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "verbs"}, "spec": spec}
    file.write_text(yaml.safe_dump(text))
    return file


@pytest.fixture(scope="module")
def follows(
    sihl: Typing, job: Path, harness: Harness
) -> Iterator[tuple[Future[int], io.StringIO, io.StringIO]]:
    """A job that trains, and who follows it."""
    followed = sihl.begin("submit", "-f", str(job), "--set", ENDLESS, "--follow")
    harness.until(lambda: "created" in followed[2].getvalue(), "the job's submission")
    harness.wait("verbs", "Running")
    harness.wait_stage("verbs", PROJECT, "Training", step=5)
    yield followed
    sihl("stop", "verbs")


def test_a_job_is_checked_before_it_is_submitted(sihl: Typing, job: Path) -> None:
    code, out, err = sihl("check", str(job))
    assert (code, err) == (0, ""), out
    assert "asked by a dry run" in out
    assert "learns multiclass classification" in out
    assert sihl("check", str(job), "--set", "dataset.train.prefix=no/where")[0] == 1


def test_jobs_are_seen_while_one_trains_and_the_next_one_waits(
    sihl: Typing, harness: Harness, follows: tuple[Future[int], io.StringIO, io.StringIO]
) -> None:
    waits, _, told = sihl.begin(
        "clone", "@latest", "--set", "training.maxSteps=20", "--set", "training.seed=1", "--wait"
    )
    harness.until(lambda: "verbs-2: Queued" in told.getvalue(), "the clone in the queue")
    assert [row[:3] for row in rows(sihl("queue", PROJECT)[1])[1:]] == [
        [PROJECT, "verbs", "Running"],
        [PROJECT, "1", "verbs-2"],
    ]
    header, *listed = rows(sihl("list", "-o", "wide")[1])
    assert header[-3:] == ["NODE", "ATTEMPT", "METRICS"]
    assert {row[0]: row[2] for row in listed} == {"verbs": "Running", "verbs-2": "Queued"}
    assert sihl("list", "@latest", "-o", "name")[1] == "trainingjob.sihl.ai/verbs\n"
    harness.until(lambda: follows[1].getvalue(), "a line of the log that is followed")
    assert sihl("logs", "@latest")[1].startswith(follows[1].getvalue().splitlines()[0])
    command = [sys.executable, "-m", "sihl_dashboard.cli", "top", "-n", NAMESPACE]
    with screens.drawn(command, sihl.environ) as screen:
        harness.until(lambda: "verbs-2" in screen.text and "Running" in screen.text, "the screen")
        screen.press("q")
        assert screen.process.wait(60) == 0
    harness.until(lambda: sihl("metrics", "verbs")[1], "metrics of a job that trains")

    assert sihl("stop", "verbs", "--wait")[0] == 0
    assert follows[0].result(120) == 4, follows[2].getvalue()
    assert waits.result(300) == 0, told.getvalue()


def test_a_stopped_job_goes_on_and_is_compared_with_its_successor(
    sihl: Typing, harness: Harness, follows: object
) -> None:
    assert sihl("resume", "verbs")[0] == 0
    harness.wait("verbs", "Running")
    code, out, err = sihl("metrics", "verbs-2", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [point["step"] for point in found["points"]][-1] == 20
    assert "\n           |" in sihl("metrics", "verbs-2", "--plot")[1]
    assert "at 20" in sihl("metrics", "verbs-2", "--around", "20")[1]
    differing = [row[0] for row in rows(sihl("compare", "verbs-2", "verbs", "--diff-only")[1])]
    assert {"training.maxSteps", "training.seed"} <= set(differing)
    assert "runner.gpus" not in differing
    assert sihl("stop", "verbs", "--wait")[0] == 0


def test_what_an_ended_job_left_is_read_from_the_store(
    sihl: Typing, harness: Harness, follows: object, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    code, out, err = sihl("logs", "verbs-2", "--tail", "5")
    assert (code, out.count("\n")) == (0, 5), err
    code, _, err = sihl("pull", "verbs-2", "--to", str(tmp_path / "model"))
    assert code == 0, err
    checksum = harness.status("verbs-2")["model"]["checksum"]
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert manifest["files"]["model.safetensors"]["sha256"] == checksum
    by_forward = Typing(Path(sihl.environ["KUBECONFIG"]), NAMESPACE)
    by_forward.environ["PATH"] = (
        f"{Path(program('kubectl')).parent}{os.pathsep}{os.environ['PATH']}"
    )
    code, out, err = by_forward("metrics", "verbs-2")
    assert (code, err) == (0, "")
    assert "validation/digit/accuracy" in out
    store = harness.store
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", store.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", store.secret_key)
    listed = rows(sihl("list", "verbs-2", "--record", f"s3://{store.bucket}")[1])
    assert listed[1][:3] == ["verbs-2", PROJECT, "Succeeded"]


def test_the_dashboard_of_one_s_own_machine_shows_the_cluster_and_its_records(
    sihl: Typing, harness: Harness, follows: object
) -> None:
    words = ("--endpoint", harness.store.endpoint)
    with served(*words, environ=sihl.environ) as browser:
        assert browser.opens() == 303

        def shown() -> list[str]:
            found = browser.get("/overview")[1]["namespaces"]
            return [
                job["name"]
                for each in found
                if each["name"] == NAMESPACE
                for queue in each["queues"]
                for job in queue["jobs"]
            ]

        harness.until(lambda: {"verbs", "verbs-2"} <= set(shown()), "the jobs on the overview")
        uid = harness.job("verbs-2")["metadata"]["uid"]
        path = f"/namespaces/{NAMESPACE}/projects/{PROJECT}/jobs/verbs-2.{uid[:8]}"
        assert browser.get(path)[1]["live"]["phase"] == "Succeeded"
        assert browser.get(f"{path}/log")[1]["lines"]
