"""`python -m tests.bench.tasks`: every task on held-out data, beside what else could be done.

Each run is a process of its own, so that its peak memory is too, and adds its row to a file as it
ends: what stands there is not run again, unless `--again`, and `--markdown` prints what there is.
Two runs of one thread use two cores better than one run of two: `--processes 2 --threads 1`.
Time is that of the cores themselves (`clock`), so that runs beside each other are as good as alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from tests.bench.tasks.plans import PLANS
from tests.bench.tasks.rows import Row, append, read
from tests.bench.tasks.runs import (
    FEW,
    OURS,
    SIZE,
    SPLITS,
    THREE,
    Given,
    every_run,
    measured,
)
from tests.bench.tasks.tables import every_table

ROOT = Path(__file__).parents[3]
FAULT_LENGTH = 200


def main() -> int:
    """What was asked for; 1 where a run failed."""
    given = arguments()
    if given.one:
        return one(given)
    rows = read(given.json)
    if not given.markdown:
        wanted = chosen(given.only, given.ours, given.theirs)
        if not given.again:
            wanted = [run for run in wanted if run not in rows or rows[run].fault]
        say = _in_turn(lambda text: print(text, file=sys.stderr, flush=True))

        def work(run: str) -> None:
            row = apart(run, given)
            append(given.json, row)
            say(f"{run}: {row.fault or f'{row.metric} {row.value:.4f}'}")

        with ThreadPoolExecutor(given.processes) as pool:
            list(pool.map(work, wanted))
        rows = read(given.json)
    print(every_table(rows))
    return int(any(row.fault for row in rows.values()))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tasks", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="TASK", default=[],
                        help="tasks, or runs by their names: detection/fcos")  # fmt: skip
    parser.add_argument("--ours", action="store_true", help="the product's runs alone")
    parser.add_argument("--theirs", action="store_true", help="all other runs")
    parser.add_argument("--both", action="store_true", help="all runs, as without any of the three")
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of learning, on all threads' cores"
    )
    parser.add_argument("--threads", type=int, default=2, help="that compute, a process")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time")
    parser.add_argument("--count", type=int, help="training images, for a trial")
    parser.add_argument("--json", type=Path, default=Path("tasks.jsonl"),
                        help="the file of the rows, one a line")  # fmt: skip
    parser.add_argument("--pictures", type=Path, metavar="DIR",
                        help="draw what the product's runs predict, as DIR/<task>.png")  # fmt: skip
    parser.add_argument("--again", action="store_true", help="run also what the file has")
    parser.add_argument("--markdown", action="store_true", help="run nothing: print the tables")
    parser.add_argument("--one", nargs=2, metavar=("RUN", "FILE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def chosen(only: Sequence[str], ours: bool, theirs: bool) -> list[str]:
    """Names of runs.

    Raises:
        SystemExit: One that was asked for is none.
    """
    every = every_run()
    wanted = [run for run in every if not only or any(_belongs(run, name) for name in only)]
    for name in only:
        if not any(_belongs(run, name) for run in every):
            sys.exit(f"no task {name!r}: there are {', '.join([*PLANS, SPLITS, FEW, THREE, SIZE])}")
    if ours == theirs:
        return wanted
    return [run for run in wanted if _is_ours(run) == ours]


def _belongs(run: str, name: str) -> bool:
    return run == name or run.startswith(f"{name}/")


def _is_ours(run: str) -> bool:
    first, second, *_ = run.split("/")
    return second == OURS or first not in (*PLANS, SPLITS)


def apart(run: str, given: argparse.Namespace) -> Row:
    """A run in a process of its own, with what the process took."""
    with tempfile.TemporaryDirectory(prefix="sihl-bench-") as place:
        file, log = Path(place) / "row", Path(place) / "log"
        command = [sys.executable, "-m", "tests.bench.tasks", "--one", run, str(file),
                   f"--minutes={given.minutes}", f"--threads={given.threads}"]  # fmt: skip
        command += [f"--count={given.count}"] if given.count else []
        command += [f"--pictures={given.pictures}"] if given.pictures else []
        threads = str(given.threads)
        environ = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT
            )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if file.exists():
            row = Row(**json.loads(file.read_text()))
        else:
            print(log.read_text(errors="replace"), file=sys.stderr)
            row = Row(run, fault=fault(log.read_text(errors="replace"), process.returncode))
    peak = usage.ru_maxrss / 1024
    return replace(row, peak=peak, minutes=given.minutes, threads=given.threads)


def fault(output: str, code: int) -> str:
    """The last line that a failed run printed, short enough for a table."""
    lines = [line for line in output.splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit code {code}"
    return last.replace("|", "/")[:FAULT_LENGTH]


def one(given: argparse.Namespace) -> int:
    """A run in this process, whose row goes to a file."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run, file = given.one
    row = measured(run, Given(given.minutes, given.threads, given.count, given.pictures))
    Path(file).write_text(json.dumps(asdict(row)))
    return 0


def _in_turn(say: Callable[[str], None]) -> Callable[[str], None]:
    lock = threading.Lock()

    def locked(text: str) -> None:
        with lock:
            say(text)

    return locked


if __name__ == "__main__":
    sys.exit(main())
