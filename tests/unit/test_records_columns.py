"""Columns that a trainer leaves say what its lines say, or nothing."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save

from sihl_api.record import MetricLine
from sihl_dashboard.records import FolderPlace, Records, View
from sihl_dashboard.records.columns import measured_of
from sihl_dashboard.records.measured import Measured
from sihl_trainer.record import columns as written
from sihl_trainer.record.columns import write_columns
from sihl_trainer.record.segments import merge
from sihl_trainer.record.store import FolderStore
from tests.support.recorded import recorded, train, validation
from tests.support.records import PATHS
from tests.unit.test_records_measured import told

NAMES = st.sampled_from(["loss", "boxes/map", "a"])
LINES = st.builds(
    MetricLine,
    time=st.sampled_from(["2026-01-02T03:00:00Z", "2026-01-02T03:00:05Z", "yesterday"]),
    step=st.integers(0, 20),
    kind=st.sampled_from(["train", "validation"]),
    values=st.dictionaries(NAMES, st.floats(), max_size=3),
)


@given(st.lists(LINES, max_size=12), st.integers(1, 5), st.booleans())
def test_columns_hold_what_the_lines_hold(
    lines: list[MetricLine], size: int, is_merged: bool
) -> None:
    texts = [line.model_dump_json(by_alias=True).encode() + b"\n" for line in lines]
    with TemporaryDirectory() as place:
        store = FolderStore(Path(place))
        for number, start in enumerate(range(0, len(texts), size)):
            store.put(PATHS.metrics(1, number), b"".join(texts[start : start + size]))
        if is_merged:
            merge(store, PATHS, 1, "metrics", Path(place))
        write_columns(store, PATHS, 1)
        read = measured_of(store.get(PATHS.columns(1)))
    expected = Measured()
    expected.add(b"".join(texts))
    assert read is not None
    without_empty = {key: column for key, column in read.columns.items() if column.lines}
    assert without_empty == read.columns
    assert told(read) == told(expected)


def integers(*values: int) -> NDArray[Any]:
    return np.array(values, dtype=np.int64)


SOUND: dict[str, NDArray[Any]] = {
    "bytes": integers(100),
    "unreadable": integers(0),
    "steps": integers(1, 2),
    "times": np.array([1.5, math.nan]),
    "lines/train": integers(0, 1),
    "values/train/loss": np.array([1, math.nan]),
    "values/train/box/iou": np.array([2.5]),
    "lines/train/box/iou": integers(1),
}


def test_values_that_a_line_lacks_are_known() -> None:
    read = measured_of(save(SOUND))
    assert read is not None
    assert list(read.columns["train", "box/iou"].lines) == [1]
    assert math.isnan(read.columns["train", "loss"].values[1])


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("bytes", integers(-1)),
        ("bytes", integers()),
        ("bytes", np.array([1.0])),
        ("unreadable", integers(-1)),
        ("steps", integers(1)),
        ("steps", integers(1, 10**10)),
        ("steps", integers(-1, 2)),
        ("steps", np.array([[1, 2]])),
        ("times", integers(1, 2)),
        ("lines/train", integers(1, 0)),
        ("lines/train", integers(0, 2)),
        ("lines/train", integers(-1, 0)),
        ("lines/train/box/iou", integers(0, 1)),
        ("values/train/loss", np.array([1.0])),
        ("values/train/loss", np.array([True, False])),
        ("values/validation/loss", np.array([1.0, 2.0])),
    ],
)
def test_what_no_trainer_writes_is_not_taken_for_columns(name: str, tensor: NDArray[Any]) -> None:
    assert measured_of(save({**SOUND, name: tensor})) is None


def test_what_has_more_names_than_are_kept_is_not_taken_for_columns() -> None:
    many = {f"values/train/{number}": np.array([0.0, 0.0]) for number in range(1001)}
    assert measured_of(save({**SOUND, **many})) is None


@pytest.mark.parametrize("name", ["bytes", "unreadable", "steps", "times"])
def test_what_lacks_a_part_is_not_taken_for_columns(name: str) -> None:
    assert measured_of(save({key: SOUND[key] for key in SOUND.keys() - {name}})) is None


@given(st.binary(max_size=64) | st.just(save(SOUND)), st.integers(0, 700), st.binary(max_size=4))
def test_nothing_that_stands_there_breaks_its_reader(data: bytes, at: int, other: bytes) -> None:
    read = measured_of(data[:at] + other + data[at + len(other) :])
    assert read is None or len(read.steps) == len(read.times)


def test_lines_behind_the_columns_are_read_as_lines(tmp_path: Path) -> None:
    job = recorded(tmp_path)
    job.job()
    job.metrics(1, 0, train(1, 1.0), validation(1, 0.25))
    write_columns(FolderStore(tmp_path), job.paths, 1)
    job.metrics(1, 1, train(2, 0.5))
    job.metrics(2, 0, train(3, 0.25))
    job.summary(
        [{"number": 1, "firstStep": 1, "lastStep": 2, "reason": "Stopped", "startedAt": "x"},
         {"number": 2, "firstStep": 3, "resumedAtStep": 2, "startedAt": "x"}]
    )  # fmt: skip
    # What the columns hold is not looked at a second time.
    lines = tmp_path / job.paths.metrics(1, 0)
    lines.write_bytes(b" " * lines.stat().st_size)
    records = Records(FolderPlace(tmp_path))
    (curve,) = records.curves([job.ref], View(metrics=["train/loss"])).curves
    assert curve.points.x.tolist() == [1, 2, 3]
    assert curve.points.last.tolist() == [1.0, 0.5, 0.25]
    records.close()


def test_what_is_too_much_to_hold_is_left_as_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written, "MOST_BYTES", 10)
    job = recorded(tmp_path)
    job.metrics(1, 0, train(1, 1.0))
    write_columns(FolderStore(tmp_path), job.paths, 1)
    assert not (tmp_path / job.paths.columns(1)).exists()
