from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sihl_api.runtime import Message
from sihl_trainer.dataset.feeds import open_split
from sihl_trainer.training.channel import PicturesWritten
from sihl_trainer.training.evaluation import measure, validate
from sihl_trainer.training.pictures import PictureWriter, chosen
from tests.support.disk import fill, small_disk
from tests.support.training import multitask, multitask_job, prepared

NAMES = st.sets(st.text("abc0123", min_size=1), min_size=1, max_size=50)


@given(NAMES, st.integers(0, 60), st.integers(0, 2**31 - 1), st.randoms())
def test_which_images_are_drawn_follows_from_seed_and_names_whatever_their_order(
    names: set[str], count: int, seed: int, random: object
) -> None:
    listed = sorted(names)
    drawn = chosen(listed, count, seed)
    assert len(drawn) == len(names & set(drawn)) == min(count, len(names))
    random.shuffle(listed)  # type: ignore[attr-defined]
    assert chosen(listed, count, seed) == drawn


@given(NAMES, st.integers(1, 10), st.text("xyz", min_size=1))
def test_an_image_that_is_added_takes_the_place_of_one_other_at_most(
    names: set[str], count: int, added: str
) -> None:
    before = set(chosen(sorted(names), count, 7))
    after = set(chosen([added, *names], count, 7))
    assert after - before <= {added}
    assert len(before - after) <= 1


def test_another_seed_draws_other_images() -> None:
    names = [str(number) for number in range(100)]
    assert chosen(names, 8, 0) != chosen(names, 8, 1)


# --- writing ---------------------------------------------------------------------------------

FILES: Mapping[str, bytes] = {"boxes/a.jpg.png": b"drawn", "boxes/annotations.json": b"{}"}


@pytest.fixture
def sent() -> list[Message]:
    return []


@pytest.fixture
def writer(tmp_path: Path, sent: list[Message]) -> PictureWriter:
    return PictureWriter(tmp_path, sent.append)


def written(folder: Path, step: int) -> PicturesWritten:
    return PicturesWritten(directory=str(folder / f"pictures-{step}"), step=step)


def test_what_is_drawn_lies_in_a_folder_before_the_supervisor_hears_of_it(tmp_path: Path) -> None:
    found: list[object] = []

    def send(message: Message) -> None:
        assert isinstance(message, PicturesWritten)
        folder = Path(message.directory)
        paths = [path for path in folder.rglob("*") if path.is_file()]
        found.append({str(path.relative_to(folder)): path.read_bytes() for path in paths})

    writer = PictureWriter(tmp_path, send)
    writer.submit(5, lambda: FILES)
    writer.finish(60)
    assert found == [FILES]


def test_training_waits_for_no_picture_and_only_the_newest_validation_waits(
    writer: PictureWriter, sent: list[Message], tmp_path: Path
) -> None:
    drawing, go_on = threading.Event(), threading.Event()

    def slowly() -> Mapping[str, bytes]:
        drawing.set()
        go_on.wait()
        return FILES

    writer.submit(1, slowly)
    drawing.wait()
    for step in (2, 3, 4):
        writer.submit(step, lambda: FILES)
    assert sent == []
    writer.finish(0)
    go_on.set()
    writer.finish(60)
    assert sent == [written(tmp_path, 1), written(tmp_path, 4)]


def test_a_drawing_that_fails_costs_its_pictures_and_is_told_once(
    writer: PictureWriter,
    sent: list[Message],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails() -> Mapping[str, bytes]:
        raise RuntimeError("no such colour")

    for step in (1, 2):
        writer.submit(step, fails)
        writer.finish(60)
    assert caplog.messages == ["Pictures of step 1 could not be written: no such colour"]
    writer.submit(3, lambda: FILES)
    writer.finish(60)
    assert sent == [written(tmp_path, 3)]


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "a.png", "boxes/b/a.png", "boxes/.png"])
def test_a_file_outside_its_heads_folder_is_not_written(
    writer: PictureWriter, sent: list[Message], tmp_path: Path, name: str
) -> None:
    writer.submit(1, lambda: {"boxes/a.jpg.png": b"", name: b""})
    writer.finish(60)
    assert sent == []
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_pictures_and_nothing_of_them_stays_on_it(sent: list[Message]) -> None:
    with small_disk(megabytes=1) as disk:
        writer = PictureWriter(disk, sent.append)
        writer.submit(1, lambda: {**FILES, "pet/a.jpg.png": bytes(2 << 20)})
        writer.finish(60)
        assert list(disk.iterdir()) == []
        fill(disk / "filler")
        writer.submit(2, lambda: FILES)
        writer.finish(60)
        (disk / "filler").unlink()
        writer.submit(3, lambda: FILES)
        writer.finish(60)
        assert sent == [written(disk, 3)]


# --- what a run draws ------------------------------------------------------------------------


def test_each_validation_brings_the_same_images_drawn_and_as_the_dataset_would_have_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dataset = multitask(tmp_path / "data")
    spec = multitask_job({"maxSteps": 2, "validations": 2, "pictures": 3})
    run, heard = prepared(monkeypatch, spec, dataset, tmp_path / "scratch")
    assert run.pictures is not None
    for step in (1, 2):
        run.state.step = step
        assert validate(run)
        run.pictures.finish(60)
    folders = [Path(message.directory) for message in heard.of(PicturesWritten)]
    assert [folder.name for folder in folders] == ["pictures-1", "pictures-2"]
    names = chosen(run.data.validation.names, 3, 0)
    for folder in folders:
        for head in ("boxes", "pet"):
            written = json.loads((folder / head / "annotations.json").read_text())
            assert sorted(written) == names
            for name in names:
                with Image.open(folder / head / f"{name}.png") as drawing:
                    panels = 2 if run.data.validation.feeds[head].annotations.target(name) else 1
                    assert drawing.size == ((panels + 1) * 32 + panels * 4, 32)
    # It is a dataset's annotations: what reads those reads these.
    (dataset / "train/boxes.yaml").unlink()
    copy = dataset / "train/boxes.json"
    copy.write_bytes((folders[-1] / "boxes/annotations.json").read_bytes())
    metadata = dataset / "train/metadata.yaml"
    metadata.write_text(metadata.read_text().replace("boxes.yaml", "boxes.json"))
    assert open_split(dataset / "train", spec.model.heads).sets["boxes"].names


def test_a_job_that_wants_no_pictures_draws_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = multitask_job({"pictures": 0})
    run, _ = prepared(monkeypatch, spec, multitask(tmp_path / "data"), tmp_path / "scratch")
    assert run.pictures is None
    measured = measure(run)
    assert measured is not None
    assert measured.metrics
    assert not measured.pictured
