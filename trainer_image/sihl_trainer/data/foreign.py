"""Annotations as other tools write them: recognized, so that a message says how to convert them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from sihl_trainer.data.documents import Entry

_HEAD = 1 << 16
_GUIDE = "docs/datasets.md has a script that does it"
_COCO = (
    "COCO's format. Write one entry for each image, by its file name (`file_name`): join `images`, "
    "`annotations` and `categories` by their ids, and make [x, y, x + width, y + height] of each "
    f"bbox [x, y, width, height]; {_GUIDE}"
)
_YOLO = (
    "YOLO's format. Write one file for all images, with an entry for each by its file name: a "
    "category's name for its number, and corners in pixels for centre and size in shares, xmin = "
    f"(x - width / 2) * the image's width; {_GUIDE}"
)
_VOC = (
    "Pascal VOC's format. Write one file for all images, with an entry for each by its file name: "
    "`name` as category, and `bndbox` less 1 as bbox, because its pixels count from 1; "
    f"{_GUIDE}"
)
_OTHERS = (
    "{} format. Write one file for all images, with an entry for each by its file name: "
    "docs/tasks.md has the task's"
)
_CVAT, _LABELME, _VIA = (_OTHERS.format(name) for name in ("CVAT's", "LabelMe's", "VIA's"))
_CREATE_ML, _LABEL_STUDIO, _CSV, _LINES = (
    _OTHERS.format(name)
    for name in ("CreateML's", "Label Studio's", "a table's (CSV)", "a list's (JSON Lines)")
)
_DATUMARO, _SUPERVISELY, _SAGEMAKER = (
    _OTHERS.format(name) for name in ("Datumaro's", "Supervisely's", "SageMaker's")
)

_SUFFIXES = (".txt", ".xml", ".json")
_KEYS = {
    **dict.fromkeys(("info", "licenses", "images", "annotations", "categories"), _COCO),
    "_via_settings": _VIA,
    "_via_img_metadata": _VIA,
}
_HEADS = (
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?<annotations\b"), _CVAT),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?<annotation\b"), _VOC),
    (re.compile(rb"(\s*\d+([ \t]+\d*\.?\d+([eE]-?\d+)?){4,}[ \t]*\r?\n?)+"), _YOLO),
    (re.compile(rb'\s*\{.*?"items"\s*:\s*\[\s*\{\s*"id"', re.DOTALL), _DATUMARO),
    (re.compile(rb'\s*\{\s*"description"\s*:.*?"(tags|objects)"\s*:', re.DOTALL), _SUPERVISELY),
    (re.compile(rb'\s*\{\s*"source-ref"\s*:'), _SAGEMAKER),
    (re.compile(rb'\s*\[\s*\{[^\[]*"(image_id|category_id)"'), _COCO),
    (re.compile(rb'\s*\{\s*"(info|licenses|images|annotations|categories)"\s*:\s*[^\s{]'), _COCO),
    (re.compile(rb'\s*\{\s*"(info|licenses)"\s*:'), _COCO),
    (re.compile(rb'\s*\{.*?"(shapes|imagePath)"\s*:', re.DOTALL), _LABELME),
    (re.compile(rb'\s*\[\s*\{\s*"image"'), _CREATE_ML),
    (re.compile(rb'\s*\[\s*\{.*"(completions|annotation_id|data)"', re.DOTALL), _LABEL_STUDIO),
    (
        re.compile(
            rb"(?!\s*#)[^\n:]*\b(filename|image_?id|xmin|x_?min|class)\b[^\n:]*,[^\n:]*\n", re.I
        ),
        _CSV,
    ),
    (re.compile(rb"(?!\s*#)([^\n:,{\[]+(,[^\n:,{\[]*)+\n){2}"), _CSV),
    (re.compile(rb"(?!\s*#)[^\n:,{\[]+(,[^\n:,{\[]*){3,}(\n|\Z)"), _CSV),
    (re.compile(rb"(?!\s*[#'\x22])[^\s:;]+\.(jpe?g|png|tiff?)[\t; ]+[^:\s#]", re.I), _CSV),
    (re.compile(rb'\s*\{\s*"(type|file_name|image)"\s*:[^\n]*\}[ \t\r]*\n\s*\{'), _LINES),
)
_LAYOUTS = (
    ({"data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "labels"}, _YOLO),
    ({"JPEGImages", "ImageSets", "Annotations"}, _VOC),
    ({"_annotations.coco.json", "instances.json", "instances_default.json"}, _COCO),
)


def in_entry(entry: Entry) -> str | None:
    """Whose entry of a document it is, and how to convert that; None: nobody else's."""
    if isinstance(entry.value, dict) and "regions" in entry.value and "filename" in entry.value:
        return _VIA
    if isinstance(entry.value, dict) and entry.key in ("images", "annotations"):
        return f"entries under `{entry.key}`. Write them at the top, without it"
    return _KEYS.get(entry.key)


def in_file(path: Path) -> str | None:
    """Whose file it is by its beginning, and how to convert that."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return next((told for pattern, told in _HEADS if pattern.match(head)), None)


def in_folder(path: Path) -> str | None:
    """Whose files a folder has, and how to convert these."""
    files = sorted(each for each in path.iterdir() if each.suffix.lower() in _SUFFIXES)
    return next((told for file in files[:20] if (told := in_file(file))), None)


def in_metadata(keys: Iterable[str]) -> str | None:
    """Whose description of a dataset has these keys, and how to convert its annotations."""
    return _YOLO if {"nc", "names"} & set(keys) else None


def in_names(names: Iterable[str]) -> str | None:
    """Whose dataset has files and folders of these names, and how to convert its annotations."""
    found = set(names)
    return next((told for known, told in _LAYOUTS if known & found), None)
