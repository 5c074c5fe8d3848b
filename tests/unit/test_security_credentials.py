"""Whatever goes wrong with a store, the credentials for it are printed and kept nowhere."""

from __future__ import annotations

import logging
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from sihl_api.record import MetricLine, RecordPaths
from sihl_api.runtime import Env, ExitCode, read_result, reference_json
from sihl_s3.access import Keys
from sihl_trainer.errors import TrainerError
from sihl_trainer.fetch.main import fetch_main
from sihl_trainer.record.s3 import S3Settings, S3Store
from sihl_trainer.record.writer import RecordWriter
from sihl_trainer.supervisor.output import Redactor
from sihl_trainer.termination import PATH_VARIABLE
from tests.support.datasets import job
from tests.support.pod import Pod
from tests.support.s3 import READER, S3Server

pytestmark = pytest.mark.slow  # a minute together
CANARY = "CANARY7f3a9"
AWAY = "http://127.0.0.1:1"

WRONG = {
    "a wrong secret key": (READER[0], CANARY),
    "a wrong key": (CANARY, READER[1]),
    "both in one": (f"{READER[0]}\n{CANARY}", CANARY),
    "a secret key of two lines": (READER[0], f"{CANARY}\r\n{CANARY}"),
    "a key that no header can hold": (f"{CANARY}ключ", CANARY),
    "a key with a control character": (f"{READER[0]}\x7f{CANARY}", CANARY),
    "the two exchanged": (f"{CANARY}/+=", f"{CANARY}-id"),
    "a key like a URL": (f"https://{CANARY}@x/?a=b", CANARY),
}


@pytest.mark.parametrize("endpoint", ["", AWAY], ids=["there", "away"])
@pytest.mark.parametrize("keys", WRONG.values(), ids=WRONG.keys())
def test_a_fetch_that_fails_tells_no_credential(
    s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    keys: tuple[str, str],
    endpoint: str,
) -> None:
    caplog.set_level(logging.INFO)
    spec = job(endpoint=endpoint or s3.endpoint).model_dump(by_alias=True, exclude_none=True)
    monkeypatch.setenv(Env.JOB, reference_json("team", "job", "uid", spec))
    monkeypatch.setenv(PATH_VARIABLE, str(tmp_path / "log"))
    for name, key in zip(("accessKeyId", "secretAccessKey"), keys, strict=True):
        monkeypatch.setenv(Env.dataset(name), key)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = fetch_main("train", tmp_path / "dataset", port=0, patience=1)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    result = read_result((tmp_path / "log").read_text())
    assert result is not None
    assert result.message
    printed = capfd.readouterr()
    for text in (result.message, caplog.text, printed.out, printed.err):
        assert CANARY not in text
    assert code in (ExitCode.REFUSED, ExitCode.UNAVAILABLE), result


def store_of(endpoint: str, keys: tuple[str, str]) -> S3Store:
    environ = {
        Env.store("endpoint"): endpoint,
        Env.store("bucket"): "data",
        Env.store("accessKeyId"): keys[0],
        Env.store("secretAccessKey"): keys[1],
    }
    return S3Store(S3Settings.from_environment(environ), attempts=1)


@pytest.mark.parametrize("endpoint", ["", AWAY], ids=["there", "away"])
@pytest.mark.parametrize("keys", WRONG.values(), ids=WRONG.keys())
def test_a_record_that_cannot_be_written_tells_no_credential(
    s3: S3Server, tmp_path: Path, keys: tuple[str, str], endpoint: str
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    acts: list[Callable[[S3Store], object]] = [
        lambda store: store.put("k", b"x"),
        lambda store: store.get("k"),
        lambda store: store.upload("k", tmp_path / "file"),
        lambda store: store.objects(""),
    ]
    for act in acts:
        with pytest.raises(TrainerError) as caught:
            act(store_of(endpoint or s3.endpoint, keys))
        assert CANARY not in str(caught.value)
        assert CANARY not in caught.value.result.model_dump_json()


def test_the_writers_log_tells_no_credential_and_its_segments_hold_none(
    s3: S3Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store = store_of(s3.endpoint, WRONG["a wrong secret key"])
    writer = RecordWriter(store, RecordPaths("", "a", "b", "c", "d"), 1, tmp_path, interval=0.05)
    writer.start()
    writer.metrics(MetricLine(time="2027-01-15T08:00:00Z", step=1, kind="train", values={}))
    writer.close()
    assert CANARY not in caplog.text
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and CANARY in p.read_text()]


@pytest.mark.parametrize("endpoint", [f"http://user:{CANARY}@127.0.0.1:1", f"ftp://u:{CANARY}@s3"])
def test_an_endpoint_that_holds_a_password_is_not_repeated(endpoint: str) -> None:
    with pytest.raises(TrainerError) as caught:
        store_of(endpoint, READER).put("k", b"x")
    assert CANARY not in str(caught.value)


def test_what_holds_credentials_does_not_show_them() -> None:
    shown = [
        repr(Keys(CANARY, CANARY)),
        repr(S3Settings(AWAY, "data", CANARY, CANARY)),
        repr(store_of(AWAY, (CANARY, CANARY))),
    ]
    assert not [text for text in shown if CANARY in text]
    assert CANARY not in repr(Redactor((CANARY,)))


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY"])
def test_a_container_that_its_store_refuses_tells_no_credential(
    s3: S3Server, folder: Path, variable: str
) -> None:
    pod = Pod(folder, s3, f"job-{uuid.uuid4().hex[:8]}")
    pod.changes = {f"SIHL_STORE_{variable}": CANARY}
    with pod.start(steps=20) as attempt:
        code, result = attempt.end()
    assert (code, result.reason) == (ExitCode.REFUSED, "StoreAccessRefused")
    assert CANARY not in result.model_dump_json()
    assert CANARY not in attempt.output
    assert not [p for p in folder.rglob("*") if p.is_file() and CANARY.encode() in p.read_bytes()]
