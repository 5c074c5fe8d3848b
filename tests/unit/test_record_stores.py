"""Both stores keep the same promises: a real S3 server, and a folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from sihl_api.runtime import ExitCode
from sihl_trainer.errors import Refused, Unavailable
from sihl_trainer.record.s3 import S3Settings, S3Store
from sihl_trainer.record.store import FolderStore, MissingObjectError, Store
from tests.support.answers import Reply, answering, error
from tests.support.proxy import proxied
from tests.support.s3 import S3Server
from tests.support.waiting import eventually


def settings_of(s3: S3Server, prefix: str = "", **changes: str) -> S3Settings:
    values: dict[str, Any] = {
        "endpoint": s3.endpoint,
        "bucket": "data",
        "access_key_id": s3.admin[0],
        "secret_access_key": s3.admin[1],
        "prefix": prefix,
    }
    return S3Settings(**(values | changes))


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    s3: S3Server = request.getfixturevalue("s3")
    return S3Store(settings_of(s3))


@pytest.fixture
def at() -> str:
    """A prefix of the test's own."""
    return f"{uuid.uuid4().hex}/"


def test_what_was_put_is_read_back(store: Store, at: str) -> None:
    store.put(f"{at}a/b.json", b"{}")
    assert store.get(f"{at}a/b.json") == b"{}"


def test_a_file_that_takes_several_parts_arrives_whole(
    store: Store, at: str, tmp_path: Path
) -> None:
    content = os.urandom(40 << 20)
    (tmp_path / "big").write_bytes(content)
    store.upload(f"{at}big", tmp_path / "big")
    assert b"".join(store.read(f"{at}big")) == content


def test_an_empty_object_is_an_object(store: Store, at: str) -> None:
    store.put(f"{at}empty", b"")
    assert store.get(f"{at}empty") == b""


def test_a_missing_object_is_named(store: Store, at: str) -> None:
    with pytest.raises(MissingObjectError, match=f"{at}nothing"):
        store.get(f"{at}nothing")


def test_objects_are_listed_with_their_sizes_below_any_prefix(store: Store, at: str) -> None:
    for name, content in {"log-2": b"22", "log-1": b"1", "logs/x": b"333", "other": b""}.items():
        store.put(f"{at}{name}", content)
    listed = [(o.key.removeprefix(at), o.bytes) for o in store.objects(f"{at}log")]
    assert listed == [("log-1", 1), ("log-2", 2), ("logs/x", 3)]
    assert [o.key for o in store.objects(f"{at}logs/")] == [f"{at}logs/x"]
    assert store.objects(f"{at}nowhere/") == []


def test_folders_are_those_directly_below(store: Store, at: str) -> None:
    for name in ("1/a", "1/deep/b", "10/c", "file"):
        store.put(f"{at}{name}", b"x")
    assert store.folders(at) == ["1", "10"]
    assert store.folders(f"{at}nowhere/") == []


def test_what_was_deleted_is_neither_read_nor_listed(store: Store, at: str) -> None:
    for name in ("a/one", "a/two", "b/one"):
        store.put(f"{at}{name}", b"x")
    for name in ("a/one", "b/one"):
        store.delete(f"{at}{name}")
    assert [o.key for o in store.objects(at)] == [f"{at}a/two"]
    with pytest.raises(MissingObjectError):
        store.get(f"{at}a/one")


def test_what_is_not_there_is_deleted_already(store: Store, at: str) -> None:
    store.delete(f"{at}nowhere/nothing")


def test_a_uri_leads_back_to_its_key(store: Store, at: str) -> None:
    assert store.key_of(store.uri(f"{at}model")) == f"{at}model"
    assert store.key_of("s3://elsewhere/model") is None


def test_an_upload_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    with pytest.raises(Unavailable):
        store.upload("a/b", tmp_path / "not-there")
    assert store.objects("") == []
    assert list((tmp_path / "store" / "a").iterdir()) == []


def test_a_missing_bucket_is_told_by_its_secrets_key(s3: S3Server) -> None:
    store = S3Store(settings_of(s3, bucket="no-such-bucket"))
    with pytest.raises(Refused, match=r"no-such-bucket.*Secret sihl-store.*key bucket"):
        store.objects("")


def test_a_bucket_that_is_gone_is_told_as_that_to_keys_that_may_make_none(s3: S3Server) -> None:
    keys = ("writer-of-gone", "secret-of-gone")
    s3.admit("writer-of-gone", keys, "Read:gone", "Write:gone", "List:gone")
    store = S3Store(S3Settings(s3.endpoint, "gone", *keys))
    with pytest.raises(Refused, match=r"bucket gone .* does not exist: create the bucket"):
        store.put("a", b"1")


@pytest.mark.parametrize("change", [{"secret_access_key": "wrong"}, {"access_key_id": "nobody"}])
def test_wrong_keys_are_told_by_their_secrets_keys(s3: S3Server, change: dict[str, str]) -> None:
    store = S3Store(settings_of(s3, **change))
    with pytest.raises(Refused, match=r"Secret sihl-store.*accessKeyId and secretAccessKey"):
        store.put("x", b"")


def test_a_key_that_may_only_read_is_refused_when_it_writes(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    keys = {"access_key_id": s3.reader[0], "secret_access_key": s3.reader[1]}
    with pytest.raises(Refused, match="grant them read, write, list and delete"):
        S3Store(settings_of(s3, **keys)).upload("x", tmp_path / "file")


def test_keys_that_were_rotated_are_read_anew_and_the_request_is_tried_once_more(
    s3: S3Server, at: str
) -> None:
    old, new = ("rotated-old", "old-secret"), ("rotated-new", "new-secret")
    rights = ("Read:data", "Write:data", "List:data")
    s3.admit("rotated", old, *rights)
    secret = [settings_of(s3, access_key_id=old[0], secret_access_key=old[1])]
    store = S3Store(secret[0], renewed=lambda: secret[-1])
    store.put(f"{at}before", b"1")
    s3.admit("rotated", new, *rights)
    with pytest.raises(Refused, match="InvalidAccessKeyId"):
        store.put(f"{at}between", b"2")
    secret.append(settings_of(s3, "elsewhere", access_key_id=new[0], secret_access_key=new[1]))
    store.put(f"{at}after", b"3")
    assert [store.get(item.key) for item in store.objects(at)] == [b"3", b"1"]
    assert store.prefix == ""  # a record stays where it began


@pytest.mark.parametrize(
    ("reply", "reason", "says"),
    [
        (error(507, "XMinioStorageFull"), "StoreFull", "free some, or have its quota raised"),
        (error(400, "XMinioAdminBucketQuotaExceeded"), "StoreFull", "have its quota raised"),
        (error(403, "QuotaExceeded"), "StoreFull", "have its quota raised"),
        (error(403, "RequestTimeTooSkewed"), "StoreClockSkewed", "have the node's clock set"),
        (error(403, "AccessDenied"), "StoreAccessRefused", "grant them read, write, list and"),
        (
            error(400, "ExpiredToken"),
            "StoreAccessRefused",
            "put keys that have not expired in their",
        ),
        (error(404, "NoSuchBucket"), "StoreBucketMissing", "create the bucket"),
        (Reply(404), "StoreBucketMissing", "create the bucket"),
        (error(503, "SlowDown"), "StoreUnavailable", "check that the store is well"),
        (Reply(500), "StoreUnavailable", "check that the store is well, and has room left"),
        (error(500, "InternalError"), "StoreUnavailable", "has room left: some answer so where"),
    ],
)
def test_what_keeps_a_store_from_taking_an_object_is_told_with_who_can_mend_it(
    tmp_path: Path, reply: Reply, reason: str, says: str
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with answering({}, lambda asked: reply if asked.method == "PUT" else None) as store:
        settings = S3Settings(store.endpoint, "data", "key", "secret", region="us-east-1")
        writes = S3Store(settings, attempts=1)
        kind = Unavailable if reason == "StoreUnavailable" else Refused
        with pytest.raises(kind, match=re.escape(says)) as line:
            writes.put("a", b"x")
        with pytest.raises(kind, match=re.escape(says)) as file:
            writes.upload("a", tmp_path / "file")
    assert {line.value.reason, file.value.reason} == {reason}


def test_a_store_that_is_away_is_unavailable_and_later_there_again(s3: S3Server) -> None:
    with proxied(s3.endpoint) as faults:
        store = S3Store(settings_of(s3, endpoint=faults.endpoint), attempts=1)
        faults.down = True
        with pytest.raises(Unavailable, match="did not answer"):
            store.put("away", b"1")
        faults.down = False
        store.put("away", b"1")


def test_an_answer_that_is_cut_short_is_no_answer(s3: S3Server) -> None:
    S3Store(settings_of(s3)).put("long", os.urandom(3 << 20))
    with proxied(s3.endpoint) as faults:
        store = S3Store(settings_of(s3, endpoint=faults.endpoint), attempts=1)
        faults.cut_after, faults.cuts = 1 << 20, 1
        with pytest.raises(Unavailable):
            store.get("long")
        assert len(store.get("long")) == 3 << 20


COMPLETE = {
    "SIHL_STORE_ENDPOINT": "https://s3.example.org",
    "SIHL_STORE_BUCKET": "runs",
    "SIHL_STORE_ACCESS_KEY_ID": "key",
    "SIHL_STORE_SECRET_ACCESS_KEY": "secret",
}


def test_settings_come_from_the_secret_with_defaults_for_what_may_be_left_out() -> None:
    settings = S3Settings.from_environment({**COMPLETE, "SIHL_STORE_PREFIX": "/a/b/"})
    assert (settings.prefix, settings.region) == ("a/b", "")
    assert "secret" not in repr(settings).replace("secret_access_key", "")


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("SIHL_STORE_ENDPOINT", "endpoint"),
        ("SIHL_STORE_BUCKET", "bucket"),
        ("SIHL_STORE_ACCESS_KEY_ID", "accessKeyId"),
        ("SIHL_STORE_SECRET_ACCESS_KEY", "secretAccessKey"),
    ],
)
def test_a_key_that_the_secret_lacks_is_named(variable: str, key: str) -> None:
    with pytest.raises(Refused, match=f"Secret sihl-store .* lacks {key}:") as caught:
        S3Settings.from_environment({k: v for k, v in COMPLETE.items() if k != variable})
    assert caught.value.exit_code is ExitCode.REFUSED


@pytest.mark.parametrize(
    "endpoint",
    [
        "s3.example.org", "ftp://s3.example.org", "https://", "https://[2001:db8::1",
        "https://s3.example.org:99999", "https://s3.example.org:api", "https://a?b",
    ],
)  # fmt: skip
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(Refused, match="key endpoint"):
        S3Settings.from_environment({**COMPLETE, "SIHL_STORE_ENDPOINT": endpoint})


def test_a_folder_is_listed_while_others_remove_from_it(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("attempts/1/kept", b"1")
    program = (
        "import pathlib, sys\n"
        "while True:\n"
        "    for number in range(50):\n"
        "        (pathlib.Path(sys.argv[1]) / f'gone-{number}').write_bytes(b'2')\n"
        "    for number in range(50):\n"
        "        (pathlib.Path(sys.argv[1]) / f'gone-{number}').unlink()\n"
    )
    disturber = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "attempts/1")])
    try:
        eventually(lambda: len(store.objects("attempts/1/")) > 1)
        for _ in range(1000):
            assert "attempts/1/kept" in [each.key for each in store.objects("attempts/1/")]
    finally:
        disturber.kill()
        disturber.wait()
