"""`check`: a job's file, a first look at its data, and heads held to the trainer's own rules."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.model import Head
from sihl_api.tasks import Task
from sihl_dashboard.cli.findings import State, mend, ok, told, unknown
from sihl_dashboard.cli.forwarding import is_within
from sihl_dashboard.cli.main import run
from sihl_dashboard.cli.metadata import AnnotationSet, MetadataError, fed, read_sets
from sihl_trainer.dataset import feeds, metadata
from sihl_trainer.errors import BadConfig
from sihl_trainer.tasks.info import HeadInfo
from tests.support.s3 import S3Server

BOXES = "task: object detection\nannotations: labels/boxes.yaml\n"


# --- metadata --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "file", "sets"),
    [
        (BOXES, "metadata.yaml", [("boxes", Task.OBJECT_DETECTION, "labels/boxes.yaml")]),
        (
            '{"tasks": {"no": {"task": "Regression", "annotations": "masks/"},'
            ' "x": {"task": "autoencoding"}}}',
            "metadata.json",
            [("no", Task.REGRESSION, "masks"), ("x", Task.AUTOENCODING, None)],
        ),
        (
            "tasks:\n  007: {task: regression, annotations: a.yaml}\n",
            "metadata.yml",
            [("007", Task.REGRESSION, "a.yaml")],
        ),
    ],
)
def test_annotation_sets_are_read_by_their_names(
    text: str, file: str, sets: list[tuple[str, Task, str | None]]
) -> None:
    found = read_sets(text.encode(), file)
    assert [(each.name, each.task, each.source) for each in found.values()] == sets
    assert list(found) == [name for name, _, _ in sets]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("task: [", "is not YAML"),
        ("- a\n", "is no mapping"),
        ("a: 1\n", "`task` is missing: write one of"),
        ("task: object detektion\n", "did you mean 'object detection'?"),
        ("task: regression\n", "`annotations` must name the annotations' file"),
        ("task: regression\ntasks: {a: b}\n", "only `tasks`"),
        ("tasks: []\n", "must map the name of each annotation set"),
        ("tasks: {a: b}\n", "tasks.a: `task` is missing"),
        ("\x00", "is not YAML"),
    ],
)
def test_metadata_that_is_malformed_is_told_with_what_to_write(text: str, told: str) -> None:
    with pytest.raises(MetadataError) as error:
        read_sets(text.encode(), "metadata.yaml")
    assert told in str(error.value)


# --- heads -----------------------------------------------------------------------------------

SETS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(Task), max_size=3)


@given(
    task=st.sampled_from(Task),
    named=st.none() | st.sampled_from("abcd"),
    sets=SETS,
)
def test_a_head_is_held_to_what_the_trainer_holds_it_to(
    task: Task, named: str | None, sets: dict[str, Task]
) -> None:
    head = Head(name="head", task=task, annotations=named)
    annotated = {name: each for name, each in sets.items() if not each.self_supervised}
    trainers = metadata.Metadata(
        "metadata.yaml",
        {
            name: metadata.AnnotationSet(name, each, Path("a.yaml"), HeadInfo(each))  # type: ignore[arg-type]
            for name, each in annotated.items()
        },
        frozenset(sets.keys() - annotated.keys()),
    )
    try:
        feeds.choose_set(head, trainers)
        refused = ""
    except BadConfig as error:
        refused = str(error).partition(" ")[2].partition(" ")[2]
    ours = {
        name: AnnotationSet(name, each, None if each.self_supervised else "a.yaml")
        for name, each in sets.items()
    }
    (finding,) = fed([head], ours, "train")
    assert finding.state is (State.MEND if refused else State.OK)
    assert not refused or finding.text == refused


# --- lines -----------------------------------------------------------------------------------


def test_a_finding_is_a_line_whatever_it_holds() -> None:
    lines = told([ok("a", "well"), mend("longer\n", "b\x1b[2J"), unknown("c", "x" * 9999)])
    assert lines[0] == "ok     a          well"
    assert lines[1] == "mend   longer\\n   b\\x1b[2J"
    assert all(line.isprintable() and len(line) < 1600 for line in lines)


@pytest.mark.parametrize(
    ("endpoint", "within"),
    [
        ("http://sihl-store.sihl-system.svc:8333", True),
        ("http://store.a.svc.cluster.local", True),
        ("http://minio:9000", True),
        ("http://localhost:9000", False),
        ("http://10.0.0.1:9000", False),
        ("https://s3.eu-west-1.amazonaws.com", False),
    ],
)
def test_an_address_of_the_cluster_s_own_is_known(endpoint: str, within: bool) -> None:
    assert is_within(endpoint) is within


# --- with a bucket ---------------------------------------------------------------------------


def job(s3: S3Server, prefix: str, **spec: Any) -> str:
    """A job's YAML."""
    place = {
        "endpoint": s3.endpoint, "bucket": "data", "prefix": prefix,
        "credentials": {"secretName": "keys"},
    }  # fmt: skip
    return yaml.safe_dump(
        {
            "apiVersion": "sihl.ai/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": "night"},
            "spec": {
                "project": "cells",
                "dataset": {"train": place},
                "model": {"heads": [{"name": "boxes", "task": "ObjectDetection"}]},
                **spec,
            },
        }
    )


@pytest.fixture
def checked(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Checks a job's YAML with the reader's keys, and without a cluster."""
    for key, value in zip(("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"), s3.reader, strict=True):
        monkeypatch.setenv(f"AWS_{key}", value)

    def check(text: str, *words: str) -> tuple[int, list[list[str]], str]:
        out, err = io.StringIO(), io.StringIO()
        typed = ["check", "-", "--local", *words]
        code = run(typed, io.StringIO(text), out, err, {"KUBECONFIG": "/nowhere"})
        rows = [line.split(maxsplit=1) for line in out.getvalue().splitlines()]
        return code, rows, err.getvalue()

    return check


def upload(s3: S3Server, at: str, others: dict[str, bytes] | None = None) -> str:
    """A dataset's folder: two images, metadata, annotations."""
    files = {
        "images/a.png": b"1", "images/b.JPG": b"1", "images/notes.txt": b"1",
        "metadata.yaml": BOXES.encode(), "labels/boxes.yaml": b"a.png: []\n", **(others or {}),
    }  # fmt: skip
    s3.put("data", {f"{at}/{name}": data for name, data in files.items() if data})
    return at


def faults(rows: list[list[str]]) -> list[str]:
    """What is to be mended."""
    return [text for state, text in rows if state == "mend"]


def test_a_job_that_would_begin_has_nothing_to_mend(s3: S3Server, checked: Any) -> None:
    code, rows, err = checked(job(s3, upload(s3, "check/good")))
    assert (code, faults(rows), err) == (0, [], "")
    told = " ".join(text for _, text in rows)
    assert "2 images" in told
    assert "learns object detection from 'boxes'" in told
    assert next(text for state, text in rows if state == "?").startswith("train: secret keys")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"metadata.yaml": b""}, "add one of metadata.yaml, metadata.yml, metadata.json"),
        ({"metadata.json": b"{}"}, "keep one of metadata.yaml and metadata.json"),
        ({"labels/boxes.yaml": b""}, "there is no such file or folder"),
        ({"images/a.png": b"", "images/b.JPG": b""}, "no images directly in check/"),
        ({"metadata.yaml": b"task: regression\nannotations: labels/boxes.yaml\n"},
         "annotations 'boxes' are for regression and cannot become it"),
    ],
)  # fmt: skip
def test_what_a_dataset_lacks_is_told_before_a_job_is_submitted(
    s3: S3Server, checked: Any, tmp_path: Path, change: dict[str, bytes], told: str
) -> None:
    code, rows, _ = checked(job(s3, upload(s3, f"check/{tmp_path.name}", change)))
    assert code == 1
    assert len(faults(rows)) == 1
    assert told in faults(rows)[0]


def test_a_bucket_that_cannot_be_read_is_told_and_what_to_do(s3: S3Server, checked: Any) -> None:
    assert "there is nothing in store" in faults(checked(job(s3, "check/nothing"))[1])[0]
    text = job(s3, "x", dataset={"train": {"endpoint": s3.endpoint, "bucket": "no-such-bucket"}})
    assert "no-such-bucket" in faults(checked(text)[1])[0]
    text = job(s3, "x", dataset={"train": {"endpoint": "http://127.0.0.1:9", "bucket": "data"}})
    assert "did not answer" in faults(checked(text)[1])[0]
    text = job(s3, "x", dataset={"train": {"endpoint": "http://s3.x.svc", "bucket": "data"}})
    code, rows, _ = checked(text)
    assert (code, "is an address within the cluster" in rows[-1][1]) == (0, True)


def test_a_job_that_breaks_rules_is_told_by_field_and_its_data_is_looked_at_all_the_same(
    s3: S3Server, checked: Any
) -> None:
    text = job(s3, upload(s3, "check/rules"), runner={"gpus": 3})
    code, rows, _ = checked(text)
    assert (code, len(faults(rows))) == (1, 1)
    assert "spec.training.batchSize: training.batchSize must be a multiple" in faults(rows)[0]
    assert "2 images" in " ".join(text for _, text in rows)
    assert checked(text, "--set", "runner.gpus=1")[0] == 0
    code, rows, _ = checked(text, "--set", "runner.gpus=1", "--set", "training.maxSteps=5")
    (odd,) = [text for state, text in rows if state == "odd"]
    assert (code, "training.validations is 10 and training.maxSteps 5" in odd) == (0, True)
    code, rows, _ = checked(job(s3, "x", colour="red"))
    assert "spec.colour: no such field" in faults(rows)[0]
    assert rows[-1][1].endswith("not looked at, before the job is mended")


def test_a_file_that_is_no_job_is_an_error_in_a_line(checked: Any) -> None:
    code, rows, err = checked("a: 1")
    assert (code, rows, len(err.splitlines())) == (1, [], 1)
