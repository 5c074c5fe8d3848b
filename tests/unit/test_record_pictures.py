from __future__ import annotations

import functools
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.record import checkpoint_of, picture_file
from sihl_trainer.errors import Unavailable
from sihl_trainer.record.pictures import PictureUploader
from sihl_trainer.record.store import FolderStore
from tests.support.datasets import write
from tests.support.records import PATHS
from tests.support.waiting import eventually

# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("image", ["000.jpg", "000.png", "Plate-1_well.B2.tiff", "x" * 96 + ".jpg"])
def test_a_picture_of_a_plain_name_is_called_as_its_image(image: str) -> None:
    assert picture_file(image) == f"{image}.png"


@pytest.mark.parametrize(
    "image",
    ["a b.jpg", "100%.jpg", "%2e%2e.jpg", "#1.jpg", "細胞.tif", ".jpg", "-x.jpg", "a--b.jpg"],
)
def test_what_not_every_store_and_url_takes_is_replaced_and_told_apart_by_a_hash(
    image: str,
) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*--[0-9a-f]{16}\.png", picture_file(image))


@given(st.sets(st.text(max_size=300) | st.text("aA-._ ", max_size=6), max_size=20))
def test_pictures_of_different_images_have_different_and_safe_names(images: set[str]) -> None:
    # A name that looks like another's replacement is replaced itself.
    images |= {picture_file(image).removesuffix(".png") for image in images}
    files = {picture_file(image) for image in images}
    assert len(files) == len(images)
    for file in files:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,150}", file)


def test_a_file_of_pictures_is_not_taken_for_a_checkpoints() -> None:
    assert checkpoint_of(f"{PATHS.pictures(1, 10)}boxes/a.jpg.png") is None


# --- uploads ---------------------------------------------------------------------------------


class Watched(FolderStore):
    """A folder that may be away, or slow: what is written waits for `open`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.away = False
        self.asked = 0
        self.open = threading.Event()
        self.open.set()

    def put(self, key: str, data: bytes) -> None:
        self.asked += 1
        self.open.wait()
        if self.away:
            raise Unavailable("StoreUnavailable", "away")
        super().put(key, data)

    def steps(self) -> list[int]:
        """Of which there are pictures."""
        return [int(name) for name in self.folders(f"{PATHS.attempt(2)}pictures/")]


class Press:
    """Something else that needs the store."""

    def __init__(self) -> None:
        self.on = False
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.on


@pytest.fixture
def store(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "store")


@pytest.fixture
def press() -> Press:
    return Press()


@pytest.fixture
def uploader(store: Watched, press: Press) -> PictureUploader:
    return PictureUploader(store, PATHS, 2, press)


def folder(tmp_path: Path, step: int) -> Path:
    files = {"boxes/a.jpg.png": f"{step}", "boxes/annotations.json": "{}", "pet/a.jpg.png": "pet"}
    return write(tmp_path / f"pictures-{step}", files)


def test_a_folder_of_pictures_moves_into_the_record_by_heads(
    store: Watched, uploader: PictureUploader, tmp_path: Path
) -> None:
    uploader.add(30, folder(tmp_path, 30))
    uploader.finish()
    root = f"{PATHS.attempt(2)}pictures/000000030/"
    assert [item.key for item in store.objects(PATHS.root)] == [
        f"{root}boxes/a.jpg.png", f"{root}boxes/annotations.json", f"{root}pet/a.jpg.png",
    ]  # fmt: skip
    assert store.get(f"{root}boxes/a.jpg.png") == b"30"
    assert not (tmp_path / "pictures-30").exists()


def test_pictures_wait_while_something_else_is_pressing_and_nobody_waits_for_them(
    store: Watched, press: Press, uploader: PictureUploader, tmp_path: Path
) -> None:
    press.on = True
    uploader.add(1, folder(tmp_path, 1))
    eventually(lambda: press.asked > 3)
    uploader.finish()  # returns
    assert store.asked == 0
    press.on = False
    uploader.finish()
    assert store.steps() == [1]


def test_of_the_pictures_that_wait_only_the_newest_are_kept_and_the_loss_is_told_once(
    store: Watched, uploader: PictureUploader, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.open.clear()
    uploader.add(1, folder(tmp_path, 1))
    eventually(lambda: store.asked)
    for step in (2, 3, 4):
        uploader.add(step, folder(tmp_path, step))
    assert [path.name for path in sorted(tmp_path.glob("pictures-*"))] == [
        "pictures-1", "pictures-4",
    ]  # fmt: skip
    store.open.set()
    uploader.finish()
    assert store.steps() == [1, 4]
    assert caplog.messages == ["Pictures of step 2 are dropped for newer ones"]
    assert list(tmp_path.glob("pictures-*")) == []


def test_a_store_that_fails_is_asked_once_for_each_validation_and_told_once_an_outage(
    store: Watched, uploader: PictureUploader, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = "Pictures of step %d are not in the record: away"
    upload = functools.partial(add_and_wait, uploader, tmp_path)
    store.away = True
    upload(1, 2)
    assert store.asked == 2  # of three files each
    assert caplog.messages == [told % 1]
    store.away = False
    upload(3)
    store.away = True
    upload(4, 5)
    assert caplog.messages == [told % 1, told % 4]
    assert store.steps() == [3]
    assert list(tmp_path.glob("pictures-*")) == []


def add_and_wait(uploader: PictureUploader, tmp_path: Path, *steps: int) -> None:
    for step in steps:
        uploader.add(step, folder(tmp_path, step))
        uploader.finish()
