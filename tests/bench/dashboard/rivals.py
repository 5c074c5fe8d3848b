"""TensorBoard and MLflow, in an environment of their own: no part of this project needs them."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from local_cluster.settings import cache_folder
from tests.bench.tasks.data import kept
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
TENSORBOARD, MLFLOW = "2.21.0", "3.17.2"
_PINS = (f"tensorboard=={TENSORBOARD}", f"mlflow=={MLFLOW}")
_AS_OF = "2026-11-20"
"""What these need in turn is as new as on that day."""
_SOURCES = ("values.py", "theirs_written.py")
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
          "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # fmt: skip


def environment() -> Path:
    """The folder of its programs, installed the first time (some 700 MB).

    Raises:
        subprocess.CalledProcessError: The registry is away.
    """
    folder = _cache() / f"rivals-{_digest(*_PINS, _AS_OF, sys.version)}"
    complete = folder / ".complete"
    if not complete.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run(
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True
        )
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--compile-bytecode", "--exclude-newer", _AS_OF,
             "--python", str(folder / "bin" / "python"), *_PINS],
            check=True,
        )  # fmt: skip
        complete.touch()
    return folder / "bin"


def written(runs: int, points: int) -> Path:
    """A folder with the runs as both have them, made the first time (two million rows: minutes)."""
    sources = [(Path(__file__).with_name(name)).read_text() for name in _SOURCES]

    def make(folder: Path) -> None:
        command = [str(environment() / "python"), "-m", "tests.bench.dashboard.theirs_written"]
        subprocess.run(
            [*command, str(folder), str(runs), str(points)], check=True, cwd=ROOT,
            env={**os.environ, **_QUIET, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    return kept(f"runs-{runs}-{points}-{_digest(*_PINS, *sources)}", make, _cache())


@contextmanager
def tensorboard(folder: Path, port: int, runs: int) -> Iterator[str]:
    """Its address, once it knows all runs: a page that is opened before shows none of them."""
    command = [str(environment() / "tensorboard"), "--logdir", str(folder / "events"),
               "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with _running(command, port):
        eventually(lambda: len(_answer(f"{url}/data/runs") or ()) == runs)
        yield f"{url}/#timeseries"


@contextmanager
def mlflow(folder: Path, port: int) -> Iterator[str]:
    """The address of its experiment's charts, once it answers.

    With two processes: its four by default, and seven more that wait for jobs, starved each other
    on two busy cores, until some were ended as dead and its page broke.
    """
    command = [str(environment() / "mlflow"), "server", "--workers", "2",
               "--host", "127.0.0.1", "--port", str(port),
               "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
               "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with _running(command, port):
        eventually(lambda: _answer(f"{url}/ajax-api/3.0/mlflow/server-info"), seconds=300)
        yield f"{url}/#/experiments/1/runs?compareRunsMode=CHART"


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    """A server in a session of its own: it starts others, which end with it."""
    environ: Mapping[str, str] = {**os.environ, **_QUIET}
    process = subprocess.Popen(
        command, env=environ, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        eventually(lambda: not _is_taken(port))


def _is_taken(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def _answer(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return orjson.loads(response.read())
    except (OSError, urllib.error.URLError, orjson.JSONDecodeError):
        return None


def _cache() -> Path:
    return cache_folder() / "bench" / "dashboard"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
