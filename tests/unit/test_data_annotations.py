"""Metadata, formats, and what feeds a head."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.model import Head
from sihl_api.tasks import Task
from sihl_trainer.data.names import MAX_NAME_BYTES, fault_in_name
from sihl_trainer.dataset.feeds import Split, open_split
from sihl_trainer.dataset.metadata import read_metadata
from sihl_trainer.errors import BadConfig, BadData
from sihl_trainer.tasks.listed import unknown_name
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from sihl_trainer.tasks.rooms import format_of
from tests.support.datasets import (
    BOX_HEAD,
    BOXES,
    CLASS_HEAD,
    CLASSES,
    classification,
    detection,
    write,
)

MULTITASK = """
tasks:
  boxes: {task: object detection, categories: [cat, dog], annotations: boxes.yaml}
  mood: {task: Multiclass Classification, categories: [good, bad], annotations: labels/mood.yaml}
"""
VIEWS = """
tasks:
  boxes: {task: object detection, categories: [cat, dog], annotations: annotations.yaml}
  views: {task: view-invariance learning}
"""


def opened(folder: Path, *heads: Mapping[str, Any]) -> Split:
    return open_split(folder, [Head.model_validate(head) for head in heads])


def test_every_task_has_a_format() -> None:
    assert all(format_of(task).read for task in Task if not task.self_supervised)


# --- metadata --------------------------------------------------------------------------------


def test_a_single_task_dataset_has_one_set_called_by_its_annotations_stem(tmp_path: Path) -> None:
    metadata = read_metadata(write(tmp_path, {"metadata.yml": CLASSES}))
    assert list(metadata.sets) == ["annotations"]
    assert metadata.sets["annotations"].info.categories == ("cat", "dog")


def test_a_multitask_dataset_has_the_sets_that_it_names(tmp_path: Path) -> None:
    sets = read_metadata(write(tmp_path, {"metadata.yaml": MULTITASK})).sets
    assert {name: found.task for name, found in sets.items()} == {
        "boxes": Task.OBJECT_DETECTION,
        "mood": Task.MULTICLASS_CLASSIFICATION,
    }
    assert sets["mood"].source == PurePosixPath("labels/mood.yaml")


def test_a_self_supervised_head_may_name_what_metadata_says_of_images_alone(
    tmp_path: Path,
) -> None:
    folder = write(tmp_path, detection(3) | {"metadata.yaml": VIEWS.encode()})
    views = {"name": "v", "task": "ViewInvariance"}
    for head in (views, views | {"annotations": "views"}, views | {"annotations": "boxes"}):
        split = opened(folder, head, BOX_HEAD)
        assert list(split.feeds["v"].annotations.names) == split.names
        assert split.feeds["v"].self_supervised
        assert not split.feeds["boxes"].self_supervised
    alone = tmp_path / "alone"
    alone_files = detection(2) | {"metadata.yaml": b"tasks: {views: {task: autoencoding}}"}
    split = opened(write(alone, alone_files), views | {"annotations": "views"})
    assert split.annotated == split.names


def test_metadata_in_json_says_the_same(tmp_path: Path) -> None:
    text = '{"task": "object detection", "categories": [0, 1], "annotations": "a.json"}'
    metadata = read_metadata(write(tmp_path, {"metadata.json": text}))
    assert metadata.sets["a"].info.categories == ("0", "1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("categories: [a]\nannotations: a.yaml", "`task` is missing"),
        ("task: juggling\ncategories: [a]\nannotations: a.yaml", "unknown task 'juggling'"),
        ("task: object detection\nannotations: a.yaml", "`categories` must list"),
        ("task: object detection\ncategories: []\nannotations: a.yaml", "`categories` must list"),
        ("task: object detection\ncategories: [a, a]\nannotations: a.yaml", "'a' twice: keep one"),
        (
            "task: object detection\ncategories: [a, null]\nannotations: a.yaml",
            'null, which is no name: write one, in quotes if it is called so ("null")',
        ),
        ("task: object detection\ncategories: [a]", "`annotations` must name"),
        (
            "task: object detection\ncategories: [a]\nannotations: ../a.yaml",
            "'..' is no name; write",
        ),
        ("task: object detection\ncategories: [a]\nannotations: /etc/passwd", "cannot be a path"),
        (
            "task: object detection\ncategories: [a]\nannotations: images/a.yaml",
            "lie in images/: move",
        ),
        ("task: object detection\ncategories: [a]\nannotations: metadata.yaml", "metadata"),
        ("tasks: {}", "`tasks` must map"),
        ("tasks: {a: b}", "tasks.a: must be a mapping"),
        ("tasks: {a: {task: regresion}}", "tasks.a: unknown task 'regresion': did you mean 'regr"),
        ("tasks: {a: {categories: [b]}}", "tasks.a: `task` is missing: write one of 'multiclass"),
        (
            "tasks: {a: {task: object detection, categories: [b]}}",
            "tasks.a: `annotations` must name the annotations' file, e.g. annotations.yaml",
        ),
        ("task: x\ntasks: {a: {}}", "both `task` and `tasks`"),
        (
            "task: object detection\ncatgories: [a]\nannotations: a.yaml",
            "unknown field `catgories`: did you mean `categories`?",
        ),
        (
            "task: keypoint detection\nkeypoints: [a]\nsymetry: []\nannotations: a.yaml",
            "unknown field `symetry`: did you mean `symmetry`?",
        ),
        (
            "task: object detection\nclasses: [a]\nannotations: a.yaml",
            "`categories` must list at least one name: [cat, dog]; this task's names are not "
            "called `classes`: rename it",
        ),
        ("train: images/train\nnames: {0: cat}", "It looks like YOLO's format"),
        (
            "task: object detection\nannotations: a.yaml\ncategories: [cat: small]",
            "has {cat: 'small'}, which is no name",
        ),
        (
            "task: text recognition\nannotations: a.yaml\ncharset: ab",
            "must list at least one name: [a, b, c]; this task",
        ),
        (
            f"task: object detection\nannotations: a.yaml\ncategories: [{'x' * 999}]",
            "which is no name: write one of at most 200 characters",
        ),
        (
            "task: object detection\ncategories: [a]\nannotations: a\\b.yaml",
            "has a backslash, and folders are parted by /",
        ),
        (
            "task: object detection\ncategories: [a]\nannotations: 'a.yaml '",
            "'a.yaml ' begins or ends with a space",
        ),
        ("task: classification", "did you mean 'multiclass classification' or 'multilabel class"),
        ("task: OCR", "did you mean 'text recognition'?"),
    ],
)
def test_metadata_at_odds_with_the_schema_is_refused_by_field(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(BadData) as caught:
        read_metadata(write(tmp_path, {"metadata.yaml": text}))
    assert "metadata.yaml" in str(caught.value)
    assert says in str(caught.value)


def test_annotations_may_be_named_from_the_datasets_folder_on(tmp_path: Path) -> None:
    text = BOXES.replace("annotations.yaml", "./sub/a.yaml")
    metadata = read_metadata(write(tmp_path, {"metadata.yaml": text}))
    assert str(metadata.sets["a"].source) == "sub/a.yaml"


def test_what_a_datasets_people_note_beside_its_fields_is_theirs(tmp_path: Path) -> None:
    text = CLASSES + "author: me\nversion: 2\nlicense: CC0\nsplit: train\n"
    assert list(read_metadata(write(tmp_path, {"metadata.yaml": text})).sets) == ["annotations"]


def test_missing_metadata_is_told_with_the_names_it_may_have(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"metadata\.yaml or metadata\.yml or metadata\.json"):
        read_metadata(tmp_path)


def test_two_metadata_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="keep the one that is meant"):
        read_metadata(write(tmp_path, {"metadata.yaml": CLASSES, "metadata.json": "{}"}))


@given(name=st.text(max_size=300))
def test_a_name_that_is_let_through_stays_directly_in_its_folder(name: str) -> None:
    if fault_in_name(name) is None:
        path = Path("/dataset/images") / name
        assert path.parent == Path("/dataset/images")
        assert path.name == name
        assert 0 < len(name.encode()) <= MAX_NAME_BYTES
        assert not set(name) & {"\0", "\n", "\r", "/"}


# --- formats ---------------------------------------------------------------------------------


def test_null_is_not_annotated_and_an_empty_list_is_no_object(tmp_path: Path) -> None:
    files = detection(3) | {
        "annotations.yaml": b"0.jpg: null\n1.jpg: []\n2.jpg: [{category: dog, bbox: [1, 2, 3, 4]}]"
    }
    split = opened(write(tmp_path, files), BOX_HEAD)
    feed = split.feeds["boxes"]
    assert feed.target("0.jpg", (24, 16)) is None
    empty, full = feed.target("1.jpg", (24, 16)), feed.target("2.jpg", (24, 16))
    assert isinstance(empty, BoxesTarget)
    assert isinstance(full, BoxesTarget)
    assert empty.boxes.shape == (0, 4)
    assert full.boxes.tolist() == [[1, 2, 3, 4]]
    assert full.categories.tolist() == [1]
    assert split.annotated == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "0.jpg: [{category: cat, bbox: [5, 2, 5, 9]}]",
            "box 1: xmax 5 must be greater than xmin 5: bbox is [xmin,",
        ),
        ("0.jpg: [{category: cat, bbox: [5, 2, 5.0000001, 9]}]", "xmax 5 must be greater than xmi"),
        ("0.jpg: [{category: cat, bbox: [5, 9, 6, 2]}]", "box 1: ymax 2 must be greater"),
        ("0.jpg: [{category: cat, bbox: [1, 2, 3]}]", "bbox [1, 2, 3] must be four numbers: [xmin"),
        ("0.jpg: [{category: cat, bbox: [1, 2, 3, 4, 0.9]}]", "bbox [1, 2, 3, 4, 0.9] must be"),
        ("0.jpg: [{category: cat, bbox: ['1,5', 2, 3, 4]}]", "bbox ['1,5', 2, 3, 4] must be four"),
        ("0.jpg: [{category: cat, bbox: '1 2 3 4'}]", "bbox '1 2 3 4' must be four numbers"),
        ("0.jpg: [{category: null, bbox: [1, 2, 3, 4]}]", "and is {category: null, bbox: [1, 2"),
        ("0.jpg: [{category: cat, bbox: [1, 2, x, 4]}]", "must be four numbers: [xmin, ymin,"),
        ("0.jpg: [{category: cat, bbox: [1, 2, .nan, 4]}]", "must be four numbers"),
        ("0.jpg: [{bbox: [1, 2, 3, 4]}]", "must be {category: ..., bbox: "),
        ("0.jpg: [{category: cow, bbox: [1, 2, 3, 4]}]", "'cow'; the metadata lists cat, dog"),
        ("0.jpg: [cat]", "must be {category"),
        ("0.jpg: cat", "must be a list of boxes"),
        ("0.jpg: {category: cat}", "must be a list of boxes"),
    ],
)
def test_a_box_at_odds_with_the_format_is_refused_by_file_line_image_and_entry(
    tmp_path: Path, line: str, says: str
) -> None:
    files = detection(2) | {"annotations.yaml": f"1.jpg: []\n{line}\n".encode()}
    with pytest.raises(BadData) as caught:
        opened(write(tmp_path, files), BOX_HEAD)
    assert 'annotations.yaml, line 2, "0.jpg"' in str(caught.value)
    assert says in str(caught.value)


def test_an_unknown_category_is_told_with_the_known_ones(tmp_path: Path) -> None:
    files = classification(2) | {"annotations.yaml": b"0.jpg: cat\n1.jpg: cow\n"}
    with pytest.raises(BadData) as caught:
        opened(write(tmp_path, files), CLASS_HEAD)
    assert str(caught.value) == (
        "annotations.yaml, line 2, \"1.jpg\": unknown category 'cow'; the metadata lists cat, dog: "
        "correct it here, or add it to `categories` there"
    )


@pytest.mark.parametrize(
    ("name", "known", "says"),
    [
        ("Big Cat", "big cat", "did you mean 'big cat'? Case, spaces and Unicode forms count"),
        ("cat ", "cat", "did you mean 'cat'? Case"),
        ("cat\u200b", "cat", "'cat\\u200b' (U+200B); the metadata lists cat: did you mean 'cat'?"),
        (
            "cafe\u0301",
            "caf\u00e9",
            "(U+0301); the metadata lists caf\u00e9: did you mean 'caf\u00e9'? C",
        ),
        ("\u0441at", "cat", "'\u0441at' (U+0441); the metadata lists cat: did you mean 'cat'?"),
        ("0", "cat", "'cat', if its number counts from 0: names are read"),
        ("1", "7", "unknown category '1'; the metadata lists 7: correct it here"),
        ("cats", "cat", "did you mean 'cat'? Else correct it here, or add it to `categories`"),
    ],
)
def test_a_name_that_was_meant_to_be_a_known_one_is_told_with_that(
    name: str, known: str, says: str
) -> None:
    assert says in unknown_name(name, [known])


@pytest.mark.parametrize(
    ("box", "fits"),
    [("[0, 0, 24, 16]", True), ("[-0.4, 0, 24.4, 16]", True), ("[0, 0, 25, 16]", False),
     ("[0, 0, 24, 17]", False), ("[-1, 0, 24, 16]", False), ("[30, 30, 40, 40]", False)],
)  # fmt: skip
def test_a_box_outside_its_image_is_a_fault(tmp_path: Path, box: str, fits: bool) -> None:
    line = f"0.jpg: [{{category: cat, bbox: [1, 1, 2, 2]}}, {{category: cat, bbox: {box}}}]"
    split = opened(write(tmp_path, detection(1) | {"annotations.yaml": line.encode()}), BOX_HEAD)
    fault = split.sets["annotations"].fault("0.jpg", 24, 16)
    assert (fault is None) == fits
    if fault:
        assert fault.startswith('annotations.yaml, "0.jpg", box 2: [')
        assert "24 pixels wide and 16 high: correct the box, in pixels from the top left" in fault


def test_targets_survive_the_way_between_processes() -> None:
    target = BoxesTarget(torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([1]))
    again = pickle.loads(pickle.dumps(target))
    assert torch.equal(again.boxes, target.boxes)
    assert torch.equal(again.categories, target.categories)


# --- feeds -----------------------------------------------------------------------------------


def test_each_head_is_fed_by_the_set_that_it_names(tmp_path: Path) -> None:
    files = {
        "metadata.yaml": MULTITASK.encode(),
        "boxes.yaml": b"0.jpg: []\n1.jpg: null\n",
        "labels/mood.yaml": b"1.jpg: bad\n0.jpg: null\n",
        **{name: body for name, body in detection(3).items() if name.startswith("images/")},
    }
    split = opened(
        write(tmp_path, files),
        BOX_HEAD | {"annotations": "boxes"},
        CLASS_HEAD | {"annotations": "mood"},
    )
    assert split.annotated == ["0.jpg", "1.jpg"]  # 2.jpg is annotated for neither
    assert split.feeds["pet"].target("0.jpg", (24, 16)) is None
    assert split.feeds["pet"].target("1.jpg", (24, 16)) == CategoryTarget(1)
    assert split.head_info["pet"].categories == ("good", "bad")


@pytest.mark.parametrize(
    ("head", "metadata", "says"),
    [
        (CLASS_HEAD, MULTITASK, "head 'pet' must say which `annotations` feed it"),
        (CLASS_HEAD | {"annotations": "x"}, MULTITASK,
         "head 'pet' asks for annotations 'x'; the dataset has 'boxes' (object detection), 'mood' "
         "(multiclass classification): name one of them"),
        (CLASS_HEAD, BOXES,
         "learns multiclass classification, but annotations 'annotations' are for object "
         "detection and cannot become it, only multilabel classification, quadrilateral detection, "
         "view invariance, autoencoding, anomaly detection: change the head's task"),
        (CLASS_HEAD | {"annotations": "views"}, VIEWS,
         "head 'pet' asks for annotations 'views'; the dataset has 'boxes' (object detection)"),
    ],
)  # fmt: skip
def test_a_head_that_the_dataset_cannot_feed_is_the_jobs_fault(
    tmp_path: Path, head: dict[str, Any], metadata: str, says: str
) -> None:
    with pytest.raises(BadConfig) as caught:
        opened(write(tmp_path, detection(1) | {"metadata.yaml": metadata.encode()}), head)
    assert says in str(caught.value)


def test_an_annotation_for_a_missing_image_is_refused(tmp_path: Path) -> None:
    files = classification(2) | {"annotations.yaml": b"0.jpg: cat\n7.jpg: dog\n8.jpg: null\n"}
    with pytest.raises(BadData, match=r"'7\.jpg', and images/ has no such image: add"):
        opened(write(tmp_path, files), CLASS_HEAD)


@pytest.mark.parametrize(
    ("annotated", "file", "says"),
    [
        ("images/a.jpg", "a.jpg", "write 'a.jpg': an image is named by its file alone"),
        ("train\\images\\a.jpg", "a.jpg", "write 'a.jpg': an image is named by its file alone"),
        ("a", "a.jpg", "did you mean 'a.jpg'? Write the file's whole name, with its suffix"),
        ("a.png", "a.jpg", "did you mean 'a.jpg'? Write the file's whole name, with its suffix"),
        ("A.JPG", "a.jpg", "did you mean 'a.jpg'? Case, spaces and %-codes count"),
        ("a%20b.jpg", "a b.jpg", "did you mean 'a b.jpg'? Case, spaces and %-codes count"),
        ("z\u00fc.jpg", "zu\u0308.jpg", "is there in another Unicode form: write both in one"),
        ("a+b.jpg", "a b.jpg", "did you mean 'a b.jpg'? A + stands for itself"),
        ("7", "0007.jpg", "did you mean '0007.jpg'? Zeros at the beginning count"),
        ("images/A", "a.jpg", "did you mean 'a.jpg'? Write the file's whole name"),
        ("a.webp", "a.webp", "it is there, but is a WebP image, which is not read: convert it"),
        ("a.jfif", "a.jfif", "it is there, but is an image under a name that is not read: rename"),
        ("a", "a", "it is there, but has no suffix, which is not that of a JPEG"),
        (".a.jpg", ".a.jpg", "it is there, but begins with a dot"),
        ("images/a.bmp", "a.bmp", "it is there, but is a BMP image"),
        ("q.jpg", "a.jpg", "add the image or remove the entry"),
    ],
)
def test_an_image_that_is_there_under_a_name_that_is_near_is_told_as_that(
    tmp_path: Path, annotated: str, file: str, says: str
) -> None:
    files = classification(2) | {
        f"images/{file}": b"",
        "annotations.yaml": f"0.jpg: cat\n{json.dumps(annotated)}: dog\n".encode(),
    }
    with pytest.raises(BadData) as caught:
        opened(write(tmp_path, files), CLASS_HEAD)
    assert caught.value.reason == "DatasetImageMissing"
    assert says in caught.value.message
    assert ("add the image" in caught.value.message) == (annotated == "q.jpg")


def test_what_is_no_file_is_no_image_and_is_told_where_it_is_annotated(tmp_path: Path) -> None:
    folder = write(tmp_path, classification(2))
    os.mkfifo(folder / "images" / "pipe.jpg")  # who opens it waits for ever
    (folder / "images" / "link.jpg").symlink_to("nowhere.jpg")
    assert opened(folder, CLASS_HEAD).names == ["0.jpg", "1.jpg"]
    for name in ("pipe.jpg", "link.jpg"):
        (folder / "annotations.yaml").write_text(f"{name}: cat\n")
        with pytest.raises(BadData, match=f"'{name}', and .* it is there, but is no file"):
            opened(folder, CLASS_HEAD)


def test_files_that_begin_with_a_dot_are_nobodys(tmp_path: Path) -> None:
    files = classification(2) | {"images/._0.jpg": b"", "images/.DS_Store": b""}
    assert opened(write(tmp_path, files), CLASS_HEAD).names == ["0.jpg", "1.jpg"]


def test_a_folder_of_images_of_an_unread_kind_alone_says_what_they_are(tmp_path: Path) -> None:
    folder = write(tmp_path, {"metadata.yaml": CLASSES, "images/a.webp": b"", "images/b.webp": b""})
    with pytest.raises(BadData, match=r"'a\.webp' \(and 1 more\) is a WebP image"):
        opened(folder, CLASS_HEAD)


COCO = (
    '{"info": {}, "images": [{"id": 0, "file_name": "0.jpg"}], "annotations": [], "categories": []}'
)


@pytest.mark.parametrize(
    ("source", "files", "says"),
    [
        ("a.json", {"a.json": COCO}, "COCO's format"),
        ("a.json", {"a.json": COCO.replace('"info": {}, ', "")}, "COCO's format"),
        ("a.yaml", {"a.yaml": COCO}, "COCO's format"),
        ("a.json", {"a.json": '[{"image_id": 1, "category_id": 2, "bbox": [1]}]'}, "COCO's format"),
        ("a.json", {"a.json": '{"version": "5", "flags": {}, "shapes": []}'}, "LabelMe's format"),
        ("a.json", {"a.json": '[{"image": "0.jpg", "annotations": []}]'}, "CreateML's format"),
        ("a.json", {"a.json": '{"0.jpg9": {"filename": "0.jpg", "regions": []}}'}, "VIA's format"),
        ("a.txt", {"a.txt": "0 0.5 0.5 0.25 0.25\n1 0.1 0.2 0.1 0.1\n"}, "YOLO's format"),
        ("labels", {"labels/0.txt": "0 0.5 0.5 0.25 0.25\n"}, "YOLO's format"),
        ("voc", {"voc/0.xml": "<annotation>\n<object/></annotation>"}, "Pascal VOC's format"),
        ("a.xml", {"a.xml": "<?xml version='1.0'?><annotations/>"}, "CVAT's format"),
        ("a.csv", {"a.csv": "name,label\n0.jpg,cat\n"}, "CSV"),
        ("a.yaml", {"a.yaml": "0.jpg,cat\n1.jpg,dog\n"}, "CSV"),
        ("a", {"a/0.json": '{"version": "5", "flags": {}, "shapes": []}'}, "LabelMe's format"),
        ("a.json", {"a.json": '{"info": {}, "items": [{"id": "0"}]}'}, "Datumaro's format"),
        ("a.json", {"a.json": '{"description": "", "objects": []}'}, "Supervisely's format"),
        ("a.json", {"a.json": '{"source-ref": "s3://a/0.jpg"}\n{}\n'}, "SageMaker's format"),
        ("a.txt", {"a.txt": "1,1,9,1,9,9,1,9,plate\n"}, "CSV"),
        ("a.tsv", {"a.tsv": "0.jpg\tcat\n1.jpg\tdog\n"}, "CSV"),
        ("a.txt", {"a.txt": "0.jpg 1\n1.jpg 2\n"}, "CSV"),
        ("a.jsonl", {"a.jsonl": '{"file_name": "0.jpg"}\n{"file_name": "1.jpg"}\n'}, "JSON Lines"),
        ("a.csv", {"a.csv": "filename,xmin,ymin,xmax,ymax,class\n0.jpg,1,1,2,2,cat\n"}, "CSV"),
    ],
)
def test_annotations_of_other_tools_are_recognized_and_it_is_told_how_to_convert_them(
    tmp_path: Path, source: str, files: dict[str, str], says: str
) -> None:
    metadata = BOXES.replace("annotations.yaml", source)
    folder = write(tmp_path, detection(2) | files | {"metadata.yaml": metadata})
    with pytest.raises(BadData) as caught:
        opened(folder, BOX_HEAD)
    assert says in caught.value.message
    assert "rite one" in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "# class, xmin, xmax\n# checked by anna, bert\n0.jpg: []\n1.jpg: []\n",
        "0.jpg : []\n1.jpg : []\n",
        '"0.jpg": [] # a, b, c, d\n"1.jpg": []\n',
        "'0.jpg' : []\n1.jpg: []\n",
    ],
)
def test_a_mapping_with_commas_and_spaces_is_no_table(tmp_path: Path, text: str) -> None:
    files = detection(2) | {"annotations.yaml": text.encode()}
    assert opened(write(tmp_path, files), BOX_HEAD).annotated == ["0.jpg", "1.jpg"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "annotations: {0.jpg: []}\n",
            "looks like entries under `annotations`. Write them at the top",
        ),
        ("version: 2\n", "(entries are called as images are, 000.jpg, which 'version' is not)"),
    ],
)
def test_an_entry_that_is_no_images_is_told_as_that(tmp_path: Path, text: str, says: str) -> None:
    files = detection(2) | {"annotations.yaml": text.encode()}
    with pytest.raises(BadData) as caught:
        opened(write(tmp_path, files), BOX_HEAD)
    assert says in str(caught.value)


def test_a_file_that_maps_categories_to_images_is_told_to_be_turned_round(tmp_path: Path) -> None:
    files = classification(2) | {"annotations.yaml": b"cat: [0.jpg]\ndog: [1.jpg]\n"}
    with pytest.raises(BadData, match="write the category behind each image, not the other way"):
        opened(write(tmp_path, files), CLASS_HEAD)


@pytest.mark.parametrize(
    ("name", "says"), [("data.yaml", "YOLO's"), ("JPEGImages/0.jpg", "Pascal VOC's")]
)
def test_a_dataset_of_another_tool_without_metadata_is_called_that(
    tmp_path: Path, name: str, says: str
) -> None:
    with pytest.raises(BadData, match=f"It looks like {says} format"):
        read_metadata(write(tmp_path, {name: b""}))


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("category: cat, bbox: [1, 2, 5, 9], catgory: dog", "unknown key `catgory`: did you mean"),
        ("category: cat, bbox: [1, 2, 5, 9], area: 28", "unknown key `area`: an object has"),
        ("catgory: cat, bbox: [1, 2, 5, 9]", "unknown key `catgory`: did you mean `category`?"),
        ("category: cat, bbox: [1, 2, 5, 9], iscrowd: 1", "`iscrowd` asks to ignore the object"),
        ("category: cat, bbox: [1, 2, 5, 9], difficult: true", "`difficult` asks to ignore"),
        ("category: cat, bbox: [9, 2, 5, 9]", "and not [x, y, width, height]"),
        ("category: cat, bbox: [0.5, 0.5, 0.2, 0.3]", "and not centre and size in shares of"),
        ("category: cat, bbox: [0.1, 0.2, 1.02, 0.6]", "all boxes lie between 0 and 1, so they"),
        ("category: cat, bbox: [0.1, 0.2, 0.5, 0.6]", "all boxes lie between 0 and 1, so they"),
    ],
)
def test_what_a_box_says_and_nobody_reads_is_refused_by_name(
    tmp_path: Path, entry: str, says: str
) -> None:
    files = detection(1) | {"annotations.yaml": f"0.jpg: [{{{entry}}}]\n".encode()}
    with pytest.raises(BadData) as caught:
        opened(write(tmp_path, files), BOX_HEAD)
    assert says in caught.value.message


def test_a_flag_that_is_not_set_and_a_score_are_no_fault(tmp_path: Path) -> None:
    entry = (
        b"0.jpg: [{category: cat, bbox: [1, 2, 5, 9], iscrowd: 0.0, difficult: no, score: 0.9}]\n"
    )
    split = opened(write(tmp_path, detection(1) | {"annotations.yaml": entry}), BOX_HEAD)
    assert split.annotated == ["0.jpg"]


def test_one_box_beyond_the_first_pixel_makes_all_of_them_pixels(tmp_path: Path) -> None:
    entries = (
        b"0.jpg: [{category: cat, bbox: [0, 0, 0.5, 0.5]}, {category: cat, bbox: [1, 2, 5, 9]}]"
    )
    split = opened(write(tmp_path, detection(1) | {"annotations.yaml": entries}), BOX_HEAD)
    assert split.annotated == ["0.jpg"]


def test_images_without_an_entry_are_not_annotated_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = classification(3) | {"annotations.yaml": b"0.jpg: cat\n"}
    assert opened(write(tmp_path, files), CLASS_HEAD).annotated == ["0.jpg"]
    assert "2 of 3 images are not annotated in annotations.yaml" in caplog.text


def test_a_set_that_annotates_no_image_is_refused(tmp_path: Path) -> None:
    files = classification(2) | {"annotations.yaml": b"0.jpg: null\n"}
    with pytest.raises(BadData, match=r"annotates none of the 2 images: .* annotate some"):
        opened(write(tmp_path, files), CLASS_HEAD)


def test_missing_annotations_are_told_by_name(tmp_path: Path) -> None:
    files = {name: body for name, body in classification().items() if name != "annotations.yaml"}
    with pytest.raises(BadData, match=r"annotations\.yaml is missing, .*: add it, or correct"):
        opened(write(tmp_path, files), CLASS_HEAD)


def test_annotations_under_a_name_that_is_near_are_told(tmp_path: Path) -> None:
    files = classification() | {"metadata.yaml": CLASSES.replace("annotations.yaml", "A.yml")}
    files["a.yaml"] = files.pop("annotations.yaml")
    with pytest.raises(BadData, match=r"A\.yml is missing, .*; did you mean 'a\.yaml', which is"):
        opened(write(tmp_path, files), CLASS_HEAD)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    files = {"metadata.yaml": CLASSES, "annotations.yaml": "", "images/sub/a.jpg": "x"}
    with pytest.raises(BadData, match=r"no images in .*/images: there are folders in it \(sub\)"):
        opened(write(tmp_path, files), CLASS_HEAD)


def test_validation_keeps_the_category_indices_of_training(tmp_path: Path) -> None:
    train = opened(write(tmp_path / "train", classification()), CLASS_HEAD)
    files = {"metadata.yaml": CLASSES.replace("[cat, dog]", "[dog]").encode()}
    files |= {"annotations.yaml": b"0.jpg: dog\n"}
    folder = write(tmp_path / "validation", classification(1) | files)
    validation = open_split(folder, [Head.model_validate(CLASS_HEAD)], train.feeds)
    assert validation.feeds["pet"].target("0.jpg", (24, 16)) == CategoryTarget(1)


def test_a_category_that_only_validation_has_is_refused(tmp_path: Path) -> None:
    train = opened(write(tmp_path / "train", classification()), CLASS_HEAD)
    files = {"metadata.yaml": CLASSES.replace("[cat, dog]", "[cat, cow]").encode()}
    folder = write(tmp_path / "validation", classification(1) | files)
    with pytest.raises(
        BadData, match=r"validation dataset's metadata\.yaml lists .*: cow; add them there"
    ):
        open_split(folder, [Head.model_validate(CLASS_HEAD)], train.feeds)
