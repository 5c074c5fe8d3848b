"""The converters in docs/datasets.md, run as a reader would."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sihl_api.model import Head
from sihl_trainer.dataset.feeds import open_split
from tests.support.datasets import BOX_HEAD, BOXES, jpeg, write

ROOT = Path(__file__).parents[2]
SCRIPTS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/datasets.md").read_text(), re.DOTALL)
COCO = {
    "images": [{"id": 7, "file_name": "train/0.jpg"}, {"id": 8, "file_name": "1.jpg"}],
    "categories": [{"id": 3, "name": "dog"}],
    "annotations": [
        {"image_id": 7, "category_id": 3, "bbox": [6, 4, 12, 8], "iscrowd": 0},
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, 24, 16], "iscrowd": 1},
    ],
}
VOC = """<annotation><filename>{}</filename>{}</annotation>"""
OBJECT = """<object><name>dog</name><difficult>0</difficult><bndbox>
<xmin>7</xmin><ymin>5</ymin><xmax>18</xmax><ymax>12</ymax></bndbox></object>"""


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("COCO", ["instances.json"]),
        ("YOLO", ["images", "labels", "cat", "dog"]),
        ("Pascal VOC", ["voc"]),
    ],
)
def test_what_a_converter_writes_is_read_as_the_same_boxes(
    tmp_path: Path, tool: str, arguments: list[str]
) -> None:
    write(
        tmp_path,
        {
            "images/0.jpg": jpeg(24, 16),
            "images/1.jpg": jpeg(24, 16),
            "instances.json": json.dumps(COCO),
            "labels/0.txt": "1 0.5 0.5 0.5 0.5\n",
            "voc/0.xml": VOC.format("0.jpg", OBJECT),
            "voc/1.xml": VOC.format("1.jpg", ""),
            "metadata.yaml": BOXES.replace("annotations.yaml", "annotations.json"),
        },
    )
    (script,) = (each for each in SCRIPTS if each.startswith(f"# {tool}:"))
    made = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=tmp_path, capture_output=True, check=True
    )
    (tmp_path / "annotations.json").write_bytes(made.stdout)
    feed = open_split(tmp_path, [Head.model_validate(BOX_HEAD)]).feeds["boxes"]
    target = feed.target("0.jpg", (24, 16))
    assert target is not None
    assert target.boxes.tolist() == [[6, 4, 18, 12]]  # type: ignore[attr-defined]
    assert target.categories.tolist() == [1]  # type: ignore[attr-defined]
    empty = feed.target("1.jpg", (24, 16))
    assert empty is not None
    assert len(empty.boxes) == 0  # type: ignore[attr-defined]
