from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_trainer.supervisor.output import LAST_WORDS_CHARACTERS, Redactor, Tee
from sihl_trainer.supervisor.processes import kill_marked
from tests.support.pod import ROOT
from tests.support.waiting import eventually

SECRET = "ab+c/d=="


def told(printed: bytes, secrets: tuple[str, ...] = ()) -> tuple[list[bytes], str]:
    """The lines that a tee hands on of what is printed, and the last words."""
    source, sink = os.pipe()
    lines: list[bytes] = []
    tee = Tee(os.fdopen(source, "rb"), Redactor(secrets), [lines.append])
    with os.fdopen(sink, "wb") as stream:
        stream.write(printed)
    tee.join(60)
    return lines, tee.last_words


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        (f"key={SECRET}", "key=[redacted]"),
        ("?key=ab%2Bc%2Fd%3D%3D&x", "?key=[redacted]&x"),
        (f"{SECRET}{SECRET}", "[redacted][redacted]"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_are_masked_as_they_are_and_as_urls_quote_them(line: str, clean: str) -> None:
    assert Redactor([SECRET, ""]).clean_text(line) == clean


@given(before=st.binary(max_size=40), after=st.binary(max_size=40))
def test_a_secret_is_found_wherever_it_stands(before: bytes, after: bytes) -> None:
    assert SECRET.encode() not in Redactor([SECRET]).clean(before + SECRET.encode() + after)


def test_a_longer_secret_is_masked_before_a_shorter_one_within_it() -> None:
    assert Redactor(["abc", "abcdef"]).clean(b"abcdef") == b"[redacted]"


def test_every_line_is_handed_on_once_the_last_one_also_without_newline() -> None:
    assert told(b"one\ntwo\r\n\nlast")[0] == [b"one", b"two", b"", b"last"]


def test_of_a_progress_bar_only_its_last_state_is_a_line() -> None:
    assert told(b"10 %\r50 %\r100 %\n")[0] == [b"100 %"]


def test_the_last_words_are_the_end_of_what_was_said_and_short() -> None:
    lines = b"".join(b"line %d %s\n" % (number, b"x" * 100) for number in range(100))
    _, words = told(lines + b"ValueError: this is it\n")
    assert words.endswith("ValueError: this is it")
    assert len(words) <= LAST_WORDS_CHARACTERS + 3
    assert "line 79" not in words


def test_the_last_words_hold_no_secret() -> None:
    assert SECRET not in told(f"denied to {SECRET}\n".encode(), (SECRET,))[1]


def test_killing_by_mark_reaches_descendants_in_sessions_of_their_own() -> None:
    mark = f"SIHL_TEST_MARK={uuid.uuid4().hex}"
    name, value = mark.split("=")
    script = (
        "import subprocess, time; "
        "subprocess.Popen(['sleep', '1000'], start_new_session=True); time.sleep(1000)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, name: value})
    try:
        eventually(lambda: children(process.pid))
        child = children(process.pid)[0]
        assert kill_marked(mark) == 2
        assert process.wait() == -signal.SIGKILL
        eventually(lambda: not alive(child))
    finally:
        process.kill()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


REAPER = """
import ctypes, os, subprocess, time
from sihl_trainer.supervisor.processes import reap_orphans
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: as PID 1 is
ours = subprocess.Popen(["true"])
subprocess.run(["sh", "-c", "true & true &"])
end = time.monotonic() + 60
reaped = 0
while reaped < 2 and time.monotonic() < end:
    reaped += reap_orphans(but=ours.pid)
print(reaped, ours.wait())
"""


def test_orphans_are_reaped_and_the_workers_own_end_is_left_for_who_waits_for_it() -> None:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}/crds:{ROOT}/trainer_image"}
    run = subprocess.run(
        [sys.executable, "-c", REAPER], capture_output=True, text=True, env=environ
    )
    assert run.stdout.split() == ["2", "0"], run.stderr
