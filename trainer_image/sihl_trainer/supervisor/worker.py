"""The worker process as the supervisor sees it: started, heard, asked to stop, ended."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from sihl_api.runtime import Env, JobReference
from sihl_trainer.supervisor.events import WorkerEnded
from sihl_trainer.supervisor.output import Redactor, Tee
from sihl_trainer.supervisor.processes import (
    ended_for_memory,
    kill_marked,
    memory_kills,
    prefer_as_victim,
)
from sihl_trainer.training.channel import SOCKET_VARIABLE, FromWorker, Stop, encode, messages

WORKER_MODULE = "sihl_trainer.training.worker"
_SECRETS = ("SIHL_STORE_", "SIHL_DATASET_", "AWS_")
_CLOSING_SECONDS = 5.0


def worker_command(gpus: int) -> list[str]:
    """What starts the worker, without its own arguments: one process, or one a GPU."""
    if gpus <= 1:
        return [sys.executable, "-m", WORKER_MODULE]
    # torchrun gives its ranks 30 s after a signal and then kills them (pytorch#119856): none
    # reaches it, because a stop is a message to rank 0.
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}"]
    return [sys.executable, *launcher, "--module", WORKER_MODULE]


def worker_environment(
    environ: Mapping[str, str], job: JobReference, attempt: int, channel: Path, scratch: Path
) -> dict[str, str]:
    """The supervisor's environment without its secrets, with the job and the way back."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_SECRETS)}
    # Threads that spin while they wait take the processors of the jobs beside them: two of
    # resnet18 on two processors take 370 ms a step with it and 170 ms without.
    return (
        {"OMP_WAIT_POLICY": "passive"}
        | kept
        | {
            Env.JOB: job.model_dump_json(by_alias=True, exclude_none=True),
            Env.ATTEMPT: str(attempt),
            SOCKET_VARIABLE: str(channel),
            "TMPDIR": str(scratch),
            "PYTHONUNBUFFERED": "1",
        }
    )


class Worker:
    """A running worker. Its methods may be called from any thread.

    Args:
        command: What to run.
        environ: Its environment, `SOCKET_VARIABLE` included.
        redactor: Takes secrets out of what it prints.
        sink: Is given each line that it prints.
        heard: Is given each message; the last one before `ended`.
        ended: Told once, when the process is gone and everything it said was heard.
    """

    def __init__(
        self,
        command: list[str],
        environ: dict[str, str],
        redactor: Redactor,
        sink: Callable[[bytes], None],
        heard: Callable[[FromWorker], None],
        ended: Callable[[WorkerEnded], None],
    ) -> None:
        self._marker = f"{SOCKET_VARIABLE}={environ[SOCKET_VARIABLE]}"
        self._heard = heard
        self._ended = ended
        self._killed = False
        self._stop_asked = False
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()
        self._socket = _listening(Path(environ[SOCKET_VARIABLE]))
        self._memory_kills = memory_kills()
        self._process = subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout and self._process.stderr
        prefer_as_victim(self._process.pid)
        self._tees = [
            Tee(s, redactor, [sink]) for s in (self._process.stdout, self._process.stderr)
        ]
        self._listener = threading.Thread(target=self._listen, name="channel", daemon=True)
        self._listener.start()
        self._waiter = threading.Thread(target=self._wait, name="worker", daemon=True)
        self._waiter.start()

    @property
    def pid(self) -> int:
        """Of its first process."""
        return self._process.pid

    def ask_to_stop(self) -> None:
        """Send the stop, as soon as the worker is there to hear it."""
        with self._lock:
            self._stop_asked = True
            self._send_stop()

    def kill(self) -> None:
        """SIGKILL to it and to all that it started."""
        self._killed = True
        kill_marked(self._marker)

    def join(self, seconds: float) -> None:
        """Wait until it has ended by itself and was heard to the end, for so long at most."""
        self._waiter.join(seconds)

    def _send_stop(self) -> None:
        if self._connection is not None and self._stop_asked:
            with contextlib.suppress(OSError):
                self._connection.sendall(encode(Stop()))

    def _listen(self) -> None:
        """Hear rank 0, which connects at once, and any other rank, which does when it fails."""
        readers: list[threading.Thread] = []
        with contextlib.suppress(OSError):  # the worker has ended
            while True:
                connection, _ = self._socket.accept()
                with self._lock:
                    if self._connection is None:
                        self._connection = connection
                        self._send_stop()
                readers.append(threading.Thread(target=self._read, args=(connection,), daemon=True))
                readers[-1].start()
        for reader in readers:
            reader.join()

    def _read(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            for message in messages(stream):
                self._heard(message)

    def _wait(self) -> None:
        code = self._process.wait()
        kill_marked(self._marker)  # what it left behind: loaders, ranks
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes an accept that waits in vain
        self._socket.close()
        self._listener.join(_CLOSING_SECONDS)
        for tee in self._tees:
            tee.join(_CLOSING_SECONDS)
        own, nodes = False, False
        if code != 0 and not self._killed:
            killed = code == -signal.SIGKILL
            own, nodes = ended_for_memory(self._memory_kills, memory_kills(), killed)
        self._ended(
            WorkerEnded(
                how=_how(code),
                clean=code == 0,
                out_of_memory=own,
                by_the_node=nodes,
                last_words=self._tees[1].last_words,
            )
        )


def _listening(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    return listener


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
