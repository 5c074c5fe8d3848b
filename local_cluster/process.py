"""Programs that run in the background, each with a log and a file that holds its process id."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_cluster.errors import ClusterError

POLL_SECONDS = 0.1


def run(
    *command: str | Path,
    timeout: float = 600,
    text: str | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """The output of a command that ends by itself; `text` is its input, `env` is set besides.

    Raises:
        ClusterError: It failed; the message has its last lines.
    """
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=timeout,
        input=text,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise ClusterError(f"`{' '.join(map(str, command[:6]))} ...` failed:\n{last}")
    return done.stdout


def follow(command: Sequence[str | Path], seen: Callable[[str], None]) -> None:
    """Run a command that takes long, and show each line of its output to `seen` as it comes.

    Raises:
        ClusterError: It failed; the message has its last lines.
    """
    last: deque[str] = deque(maxlen=15)
    with subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line.rstrip())
            seen(last[-1])
    if process.returncode:
        told = "\n".join(last)
        raise ClusterError(f"`{' '.join(map(str, command[:6]))} ...` failed:\n{told}")


def wait_until(
    check: Callable[[], bool], what: str, seconds: float, log: Path | None = None
) -> None:
    """Return as soon as `check` holds.

    Raises:
        ClusterError: It did not within `seconds`; names what was awaited and the log to read.
    """
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            where = f"; see {log}" if log else ""
            raise ClusterError(f"{what} did not happen within {seconds:.0f} s{where}")
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class Daemon:
    """A program in the background: `<folder>/<name>.pid`, `<folder>/<name>.log`."""

    name: str
    folder: Path

    @property
    def log(self) -> Path:
        """Its standard output and error."""
        return self.folder / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"

    @property
    def pid(self) -> int | None:
        """The process's id, or None where it does not run."""
        try:
            pid, started = self._pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if _start_time(int(pid)) == started else None

    def start(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start it, in a session of its own, unless it runs."""
        if self.pid:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )
        # The start time tells this process from a later one that is given the same id.
        self._pid_file.write_text(f"{process.pid} {_start_time(process.pid)}")

    def stop(self, seconds: float = 20) -> None:
        """Ask it to end, then make it end."""
        pid = self.pid
        if pid:
            for sent in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sent)
                with contextlib.suppress(ClusterError):
                    wait_until(lambda: not self.alive, f"end of {self.name}", seconds)
                    break
        self._pid_file.unlink(missing_ok=True)

    @property
    def alive(self) -> bool:
        """Whether it runs; a child that ended is reaped on the way."""
        pid = self.pid
        if pid is None:
            return False
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return self.pid is not None

    def require_alive(self) -> bool:
        """True while it runs.

        Raises:
            ClusterError: It ended; the message has the end of its log.
        """
        if not self.alive:
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
            raise ClusterError(f"{self.name} ended; the end of {self.log}:\n{last}")
        return True


def _start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None for one that is gone or a zombie.

    It is not gone while any of its threads is on its way out: it holds its ports until then.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None
    state, threads, started = fields[0], int(fields[17]), fields[19]
    return None if state == "Z" and threads <= 1 else started
