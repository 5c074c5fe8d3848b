"""Small datasets and jobs for tests."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sihl_api.trainingjob import TrainingJobSpec

WIDTH, HEIGHT = 24, 16
CLASSES = "task: multiclass classification\ncategories: [cat, dog]\nannotations: annotations.yaml\n"
BOXES = "task: object detection\ncategories: [cat, dog]\nannotations: annotations.yaml\n"
CLASS_HEAD = {"name": "pet", "task": "MulticlassClassification"}
BOX_HEAD = {"name": "boxes", "task": "ObjectDetection"}
SECRET = {"secretName": "cells-s3"}


def jpeg(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> bytes:
    """A JPEG file with some content."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height // 4 or 1, width // 4 or 1, 3))
    image = Image.fromarray(pixels.astype(np.uint8)).resize((width, height))
    return encoded(image, "JPEG", quality=92)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """An image as a file of a format."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def classification(count: int = 6) -> dict[str, bytes]:
    """Files of a dataset for `CLASS_HEAD`, by path."""
    lines = [f"{index}.jpg: {('cat', 'dog')[index % 2]}\n" for index in range(count)]
    images = {f"images/{index}.jpg": jpeg(seed=index) for index in range(count)}
    return {"metadata.yaml": CLASSES.encode(), "annotations.yaml": "".join(lines).encode()} | images


def detection(count: int = 6) -> dict[str, bytes]:
    """Files of a dataset for `BOX_HEAD`, by path."""
    lines = [
        f"{index}.jpg: [{{category: cat, bbox: [1, 2, {5 + index}, 9]}}]\n"
        for index in range(count)
    ]
    images = {f"images/{index}.jpg": jpeg(seed=index) for index in range(count)}
    return {"metadata.yaml": BOXES.encode(), "annotations.yaml": "".join(lines).encode()} | images


def write(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Files below a folder, by path."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def job(
    *heads: Mapping[str, Any],
    endpoint: str = "http://127.0.0.1:1",
    bucket: str = "data",
    prefix: str = "",
    validation_prefix: str | None = None,
    training: Mapping[str, Any] | None = None,
    runner: Mapping[str, Any] | None = None,
) -> TrainingJobSpec:
    """A job's spec; by default one classification head."""
    place = {"endpoint": endpoint, "bucket": bucket, "credentials": SECRET}
    dataset: dict[str, Any] = {"train": {**place, "prefix": prefix}}
    if validation_prefix is not None:
        dataset["validation"] = {**place, "prefix": validation_prefix}
    return TrainingJobSpec.model_validate(
        {
            "project": "cells",
            "dataset": dataset,
            "model": {"heads": [dict(head) for head in heads or (CLASS_HEAD,)]},
            "training": {"inputSize": {"width": 32, "height": 32}, "batchSize": 4}
            | dict(training or {}),
            "runner": dict(runner or {}),
        }
    )
