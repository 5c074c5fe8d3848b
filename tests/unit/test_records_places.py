"""Both places to read keep the same promises: a real S3 server, and a folder."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sihl_dashboard.records.errors import (
    MissingError,
    SettingsError,
    StoreAwayError,
    StoreDeniedError,
)
from sihl_dashboard.records.place import FolderPlace, Item, Place
from sihl_dashboard.records.s3 import S3Place, S3Settings
from tests.support.proxy import proxied
from tests.support.s3 import S3Server

Put = Callable[[dict[str, bytes]], None]


def settings_of(s3: S3Server, **changes: str) -> S3Settings:
    """By the identity that may only read."""
    values: dict[str, Any] = {
        "endpoint": s3.endpoint,
        "bucket": "data",
        "access_key_id": s3.reader[0],
        "secret_access_key": s3.reader[1],
    }
    return S3Settings(**(values | changes))


@pytest.fixture(params=["folder", "s3"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return FolderPlace(tmp_path) if kind == "folder" else S3Place(settings_of(server(request)))


@pytest.fixture
def put(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Put:
    if kind == "s3":
        return lambda objects: server(request).put("data", objects)

    def write(objects: dict[str, bytes]) -> None:
        for key, data in objects.items():
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(data)

    return write


def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue("s3")
    return found


@pytest.fixture
def at() -> str:
    """A prefix of the test's own."""
    return f"{uuid.uuid4().hex}/"


def test_what_lies_there_is_listed_and_read_whole_or_in_part(
    place: Place, put: Put, at: str
) -> None:
    put({f"{at}a/log-1": b"0123456789", f"{at}a/log-2": b"", f"{at}b/c/x": b"x"})
    assert place.folders(at) == ["a", "b"]
    assert place.items(f"{at}a/log-") == [Item(f"{at}a/log-1", 10), Item(f"{at}a/log-2", 0)]
    assert place.get(f"{at}a/log-1").data == b"0123456789"
    assert place.part(f"{at}a/log-1", 3, 6) == b"345"
    assert place.part(f"{at}a/log-1", 8, 99) == b"89"
    assert place.part(f"{at}a/log-1", 5, 5) == b""


def test_what_is_not_there_is_an_empty_listing_and_a_missing_object(
    place: Place, put: Put, at: str
) -> None:
    put({f"{at}x": b""})
    assert (place.folders(f"{at}no/"), place.items(f"{at}no/")) == ([], [])
    for ask in (place.get, lambda key: place.changed(key, "?"), lambda key: place.part(key, 0, 1)):
        with pytest.raises(MissingError, match="no-such"):
            ask(f"{at}no-such")


def test_an_object_is_read_again_only_when_it_has_changed(place: Place, put: Put, at: str) -> None:
    put({f"{at}x": b"1"})
    tag = place.get(f"{at}x").tag
    assert place.changed(f"{at}x", tag) is None
    put({f"{at}x": b"22"})
    changed = place.changed(f"{at}x", tag)
    assert changed is not None
    assert changed.data == b"22"
    assert place.changed(f"{at}x", changed.tag) is None


def test_a_listing_of_more_than_one_page_is_whole(s3: S3Server, at: str) -> None:
    s3.put("data", {f"{at}{number:04d}/x": b"" for number in range(1001)})
    place = S3Place(settings_of(s3))
    assert place.folders(at) == [f"{number:04d}" for number in range(1001)]
    assert len(place.items(at)) == 1001


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "a\0b"])
def test_no_key_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    (tmp_path / "x").write_text("secret")
    (tmp_path / "in").mkdir()
    with pytest.raises(MissingError):
        FolderPlace(tmp_path / "in").get(key)


def test_a_folder_that_is_not_there_is_told_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(StoreAwayError, match="gone: it is not there; check the path"):
        FolderPlace(tmp_path / "gone").folders("a/")


def test_a_bucket_that_is_not_there_is_told_by_its_name(s3: S3Server) -> None:
    keys = {"access_key_id": s3.admin[0], "secret_access_key": s3.admin[1]}
    with pytest.raises(StoreDeniedError, match=r"no-such-bucket.*correct the bucket's name"):
        S3Place(settings_of(s3, bucket="no-such-bucket", **keys)).folders("")


@pytest.mark.parametrize("change", [{"secret_access_key": "wrong"}, {"bucket": "private"}])
def test_what_may_not_be_read_says_what_to_grant(s3: S3Server, change: dict[str, str]) -> None:
    with pytest.raises(StoreDeniedError, match="grant them read and list below the bucket") as told:
        S3Place(settings_of(s3, **change)).folders("")
    assert s3.reader[1] not in str(told.value)


def test_a_store_that_is_away_is_told_and_later_read_again(s3: S3Server, at: str) -> None:
    s3.put("data", {f"{at}x": b"1"})
    with proxied(s3.endpoint) as faults:
        place = S3Place(settings_of(s3, endpoint=faults.endpoint), attempts=1)
        faults.down = True
        with pytest.raises(StoreAwayError, match="did not answer"):
            place.get(f"{at}x")
        faults.down = False
        assert place.get(f"{at}x").data == b"1"


COMPLETE = {
    "SIHL_STORE_ENDPOINT": "https://s3.example.org",
    "SIHL_STORE_BUCKET": "runs",
    "SIHL_STORE_ACCESS_KEY_ID": "key",
    "SIHL_STORE_SECRET_ACCESS_KEY": "secret",
}


def test_settings_show_no_secret_and_have_defaults() -> None:
    settings = S3Settings.from_environment({**COMPLETE, "SIHL_STORE_PREFIX": "/a/b/"})
    assert (settings.prefix, settings.region) == ("a/b", "")
    assert "secret" not in repr(settings).replace("secret_access_key", "")


@pytest.mark.parametrize(
    "wrong",
    [*((name, "") for name in COMPLETE), ("SIHL_STORE_ENDPOINT", "s3.example.org"),
     ("SIHL_STORE_ACCESS_KEY_ID", "a\nb")],
)  # fmt: skip
def test_settings_that_can_be_none_are_named(wrong: tuple[str, str]) -> None:
    with pytest.raises(SettingsError, match=wrong[0]):
        S3Settings.from_environment({**COMPLETE, wrong[0]: wrong[1]})
