"""`python -m tests.bench.dashboard`: how long until curves of 50 runs are there, beside others.

The same 50 runs of 10,000 points of three metrics, for this dashboard, TensorBoard and MLflow, each
written as its own library does (MLflow's into SQLite). Measured is the time from the start of each
one's server, which has seen nothing yet, until it answers, and until it has answered what its own
page asks for the first chart: one metric of all runs; and the time of the same answer later. What a
browser then draws comes on top, for each. TensorBoard and MLflow are installed apart, in the
versions below.
"""

from __future__ import annotations

import argparse
import http.cookiejar
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sihl_api.record import JobRecord, JobSummary, RecordPaths
from sihl_api.trainingjob import TrainingJobSpec
from tests.bench.report import tell
from tests.bench.rivals import METRICS, START, value
from tests.support.recorded import SPEC
from tests.support.s3 import free_ports

RIVALS = ("tensorboard==2.21.0", "mlflow==3.17.2")
DEADLINE = 1800.0
_METRIC = f"train/{METRICS[0]}"
_ROOT = Path(__file__).parents[2]


# --- the same runs for each ------------------------------------------------------------------


def spelled(seconds: int) -> str:
    """As the record has a time."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def record(folder: Path, runs: int, points: int) -> None:
    """Records, as the trainer leaves them at a job's end."""
    for run in range(runs):
        paths = RecordPaths("", "team-a", "cells", f"run-{run:03d}", f"{run:08x}")
        job = JobRecord(
            namespace="team-a", name=paths.job, uid=paths.uid, created_at=spelled(START + run),
            spec=TrainingJobSpec.model_validate(SPEC),
        )  # fmt: skip
        last = {
            name: {"last": {"step": points, "value": value(run, number, points - 1)}}
            for number, name in enumerate(METRICS)
        }
        attempt = {"number": 1, "startedAt": spelled(START), "firstStep": 1, "lastStep": points,
                   "endedAt": spelled(START + points), "reason": "Succeeded"}  # fmt: skip
        summary = JobSummary.model_validate(
            {"updatedAt": spelled(START + points), "train": last, "attempts": [attempt]}
        )
        lines = (
            {"time": spelled(START + point), "step": point + 1, "kind": "train",
             "values": {name: value(run, n, point) for n, name in enumerate(METRICS)}}
            for point in range(points)
        )  # fmt: skip
        text = "".join(json.dumps(line) + "\n" for line in lines)
        for key, data in (
            (paths.job_json, job.model_dump_json(by_alias=True)),
            (paths.metrics(1, 0, points - 1), text),
            (paths.summary, summary.model_dump_json(by_alias=True, exclude_none=True)),
        ):
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_text(data)


def rivals(cache: Path) -> Path:
    """The Python that has both, installed once."""
    folder = cache / "rivals"
    python = folder / "bin" / "python"
    if not (folder / ".complete").exists():
        uv = Path(sys.executable).with_name("uv")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([uv, "venv", "-q", folder, "--python", sys.executable], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", python, *RIVALS], check=True)
        (folder / ".complete").touch()
    return python


# --- what each page asks for its first chart -------------------------------------------------


class Browser:
    """Asks as a page does, with its cookies."""

    def __init__(self) -> None:
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)

    def get(self, url: str, form: dict[str, Any] | None = None, kind: str = "form") -> Any:
        """JSON of an address; a form is posted."""
        data, headers = None, {}
        if form is not None:
            data = (
                json.dumps(form) if kind == "json" else urllib.parse.urlencode(form, True)
            ).encode()
            headers = {"Content-Type": "application/json"} if kind == "json" else {}
        request = urllib.request.Request(url, data, headers)
        with self._opener.open(request, timeout=300) as answer:
            body = answer.read()
        return json.loads(body) if body[:1] in (b"{", b"[") else body


def ours(browser: Browser, url: str, runs: int, points: int) -> None:
    """The project's jobs, then one metric of all."""
    api = f"{url}/api/v1/namespaces/team-a/projects/cells"
    rows: list[Any] = []
    while len(rows) < runs:
        rows = browser.get(f"{api}/jobs?columns=job.state")["rows"]
    jobs = ",".join(row["job"] for row in rows)
    found = browser.get(f"{api}/curves?jobs={jobs}&metrics={_METRIC}&buckets=500")
    assert len(found["curves"]) == runs
    assert found["points"] == runs * points


def tensorboards(browser: Browser, url: str, runs: int, points: int) -> None:
    """The runs, then one tag of all, once all of it is loaded."""
    while True:
        names = browser.get(f"{url}/data/runs")
        if len(names) == runs:
            found = browser.get(
                f"{url}/data/plugin/scalars/scalars_multirun", {"tag": _METRIC, "runs": names}
            )
            if len(found) == runs and all(each[-1][1] == points for each in found.values()):
                return
        time.sleep(0.1)


def mlflows(browser: Browser, url: str, runs: int, points: int) -> None:
    """The runs, then one metric of all, in as many points as its charts show."""
    api = f"{url}/ajax-api/2.0/mlflow"
    experiment = browser.get(f"{api}/experiments/get-by-name?experiment_name=cells")
    number = experiment["experiment"]["experiment_id"]
    found = browser.get(
        f"{api}/runs/search", {"experiment_ids": [number], "max_results": 100}, "json"
    )
    names = [run["info"]["run_id"] for run in found["runs"]]
    assert len(names) == runs
    query = urllib.parse.urlencode(
        {"run_ids": names, "metric_key": _METRIC, "max_results": 320}, doseq=True
    )
    metrics = browser.get(f"{api}/metrics/get-history-bulk-interval?{query}")["metrics"]
    assert len({each["run_id"] for each in metrics}) == runs
    assert max(each["step"] for each in metrics) == points


Ask = Callable[[Browser, str, int, int], None]


@contextmanager
def started(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server, until the context ends."""
    environ = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, cwd=_ROOT, env=environ, start_new_session=True
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def measured(command: list[str], ask: Ask, runs: int, points: int, log: Path, port: int
) -> tuple[float, float, float]:  # fmt: skip
    """Seconds from its start until it answers and to the first curves, and of the same again."""
    browser, began = Browser(), time.monotonic()
    with started(command, log) as process:
        url = f"http://127.0.0.1:{port}"
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() - began < DEADLINE, log.read_text()[-3000:]
            opening = re.search(rf"{url}/open\S+", log.read_text())
            try:
                browser.get(opening.group() if opening else url)
                break
            except OSError:
                time.sleep(0.05)
        ready = time.monotonic() - began
        ask(browser, url, runs, points)
        first = time.monotonic() - began
        again = []
        for _ in range(5):
            began = time.monotonic()
            ask(browser, url, runs, points)
            again.append(time.monotonic() - began)
        return ready, first, statistics.median(again)


def main() -> int:
    """Print figures, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.dashboard", description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    cache = Path(os.environ.get("SIHL_CACHE") or Path.home() / ".cache" / "sihl") / "bench"
    python, counts = rivals(cache), [str(given.runs), str(given.points)]
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sihl-") as place:
        folder = Path(place)
        record(folder / "records", given.runs, given.points)
        for kind in ("tensorboard", "mlflow"):
            written = [python, _ROOT / "tests/bench/rivals.py", kind, folder / kind, *counts]
            subprocess.run(written, check=True)
        ports = free_ports(3)
        servers: list[tuple[str, list[str], Ask]] = [
            ("sihl", [sys.executable, "-m", "sihl_dashboard.server", "--record",
                      str(folder / "records"), "--port", str(ports[0])], ours),
            ("TensorBoard", [str(python), "-m", "tensorboard.main", "--logdir",
                             str(folder / "tensorboard"), "--port", str(ports[1])], tensorboards),
            ("MLflow", [str(python), "-m", "mlflow", "ui", "--backend-store-uri",
                        f"sqlite:///{folder}/mlflow/mlflow.db", "--port", str(ports[2])], mlflows),
        ]  # fmt: skip
        for (name, command, ask), port in zip(servers, ports, strict=True):
            ready, first, again = measured(
                command, ask, given.runs, given.points, folder / f"{name}.log", port
            )
            figures[f"{name}: from start to an answer, s"] = ready
            figures[f"{name}: from start to the first curves, s"] = first
            figures[f"{name}: the same again, ms"] = 1000 * again
    tell(figures, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
