"""Makes small datasets of real handwritten digits (UCI's 1,797, which scikit-learn carries).

    python examples/digits.py classification|detection|multitask DIR [--count N] [--size S] ...

writes DIR/train and DIR/validation in the documented format; no digit of one is in the other.
`classification` has one digit an image, `detection` scenes of one to five digits with their boxes,
`multitask` the same scenes with how many digits there are as a second annotation.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

KINDS = ("classification", "detection", "multitask")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COUNTS = ("one", "two", "three", "four", "five")
DEFAULT_SIZE = {"classification": 32, "detection": 96, "multitask": 96}
DEFAULT_COUNT = {"classification": 1437, "detection": 2000, "multitask": 2000}
DEFAULT_HELD_OUT = {"classification": 360, "detection": 200, "multitask": 200}
HELD_OUT_SHARE = 0.2  # of the 1,797 digits, for validation images
JPEG_QUALITY = 95
INK = 64  # of 255: fainter than this is not part of a digit's box


@dataclass(frozen=True)
class Digits:
    """Handwritten digits: uint8 [N, 8, 8], ink is bright; and which each is, 0 to 9."""

    images: np.ndarray
    labels: np.ndarray


@cache
def handwritten(seed: int) -> dict[str, Digits]:
    """The digits of each split; the seed shuffles which is where."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images * 255 / 16).round().astype(np.uint8)
    order = np.random.default_rng(seed).permutation(len(images))
    border = round(len(order) * HELD_OUT_SHARE)
    parts = {"validation": order[:border], "train": order[border:]}
    return {name: Digits(images[part], data.target[part]) for name, part in parts.items()}


def make(
    kind: str,
    folder: Path,
    count: int | None = None,
    size: int | None = None,
    seed: int = 0,
    held_out: int | None = None,
) -> Path:
    """Write folder/train with `count` images and folder/validation with `held_out`.

    Args:
        kind: One of `KINDS`.
        folder: Is made.
        count: Training images; each digit of the split is used before one is used again.
        size: Side of the images, in pixels.
        seed: The same seed makes the same files.
        held_out: Validation images.
    """
    size = size or DEFAULT_SIZE[kind]
    counts = {
        "train": DEFAULT_COUNT[kind] if count is None else count,
        "validation": DEFAULT_HELD_OUT[kind] if held_out is None else held_out,
    }
    for number, (split, total) in enumerate(counts.items()):
        rng = np.random.default_rng([seed, number])
        digits = handwritten(seed)[split]
        if kind == "classification":
            metadata = _write_single(folder / split, digits, total, size, rng)
        else:
            multitask = kind == "multitask"
            metadata = _write_scenes(folder / split, digits, total, size, rng, multitask)
        text = yaml.safe_dump(metadata, sort_keys=False, default_flow_style=None, width=200)
        (folder / split / "metadata.yaml").write_text(text)
    return folder


def upload(
    folder: Path,
    endpoint: str,
    bucket: str,
    prefix: str,
    access_key: str,
    secret_key: str,
    region: str = "us-east-1",
) -> int:
    """Put a folder's files under a prefix of a bucket, which is made if need be; returns how many.

    Raises:
        botocore.exceptions.ClientError: The store refuses.
    """
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=16),
    )
    if bucket not in (found["Name"] for found in client.list_buckets()["Buckets"]):
        client.create_bucket(Bucket=bucket)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    root = prefix.strip("/")

    def put(path: Path) -> None:
        key = "/".join(filter(None, (root, path.relative_to(folder).as_posix())))
        client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, files))
    return len(files)


# --- one digit an image ----------------------------------------------------------------------


def _write_single(
    folder: Path, digits: Digits, total: int, size: int, rng: np.random.Generator
) -> dict[str, object]:
    annotations = {}
    for index, pick in enumerate(_picks(len(digits.images), total, rng)):
        name = f"{index:05d}.jpg"
        _write_image(folder, name, _enlarged(digits.images[pick], size))
        annotations[name] = DIGITS[digits.labels[pick]]
    _write_annotations(folder / "annotations.yaml", annotations)
    return {
        "task": "multiclass classification",
        "categories": list(DIGITS),
        "annotations": "annotations.yaml",
    }


# --- scenes ----------------------------------------------------------------------------------


def _write_scenes(
    folder: Path, digits: Digits, total: int, size: int, rng: np.random.Generator, multitask: bool
) -> dict[str, object]:
    picks = _picks(len(digits.images), total * len(COUNTS), rng)
    boxes, counts = {}, {}
    for index in range(total):
        name = f"{index:05d}.jpg"
        scene, objects = _scene(digits, picks, size, rng)
        _write_image(folder, name, scene)
        boxes[name] = f"[{', '.join(objects)}]"
        counts[name] = COUNTS[len(objects) - 1]
    detection = {"task": "object detection", "categories": list(DIGITS)}
    if not multitask:
        _write_annotations(folder / "annotations.yaml", boxes)
        return {**detection, "annotations": "annotations.yaml"}
    _write_annotations(folder / "boxes.yaml", boxes)
    _write_annotations(folder / "count.yaml", counts)
    return {
        "tasks": {
            "boxes": {**detection, "annotations": "boxes.yaml"},
            "count": {
                "task": "multiclass classification",
                "categories": list(COUNTS),
                "annotations": "count.yaml",
            },
        }
    }


def _scene(
    digits: Digits, picks: Iterator[int], size: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[str]]:
    """Noise with one to five digits that do not touch; each one's entry, with its ink's box."""
    scene = rng.integers(0, 70, (size, size)).astype(np.uint8)
    taken = np.zeros((size, size), bool)
    objects: list[str] = []
    for _ in range(int(rng.integers(1, len(COUNTS) + 1))):
        pick = next(picks)
        side = int(rng.integers(size // 5, size // 3 + 1))
        digit = _enlarged(digits.images[pick], side)
        place = _free_place(taken, side, rng)
        if place is None:
            continue  # the first always finds one, so no scene is empty
        top, left = place
        area = (slice(top, top + side), slice(left, left + side))
        scene[area] = np.maximum(scene[area], digit)
        taken[area] = True
        rows, columns = np.nonzero(digit >= INK)
        corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        offset = (left, top, left, top)
        bbox = [int(a + b) for a, b in zip(corners, offset, strict=True)]
        objects.append(f"{{category: {DIGITS[digits.labels[pick]]}, bbox: {bbox}}}")
    return scene, objects


def _free_place(taken: np.ndarray, side: int, rng: np.random.Generator) -> tuple[int, int] | None:
    for _ in range(50):
        top, left = (int(value) for value in rng.integers(0, len(taken) - side + 1, 2))
        if not taken[top : top + side, left : left + side].any():
            return top, left
    return None


# --- files -----------------------------------------------------------------------------------


def _picks(available: int, total: int, rng: np.random.Generator) -> Iterator[int]:
    """`total` indices, each of the available ones before any again."""
    rounds = -(-total // available)
    return iter(np.concatenate([rng.permutation(available) for _ in range(max(1, rounds))])[:total])


def _enlarged(digit: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC))


def _write_image(folder: Path, name: str, pixels: np.ndarray) -> None:
    path = folder / "images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=JPEG_QUALITY)


def _write_annotations(path: Path, annotations: dict[str, str]) -> None:
    path.write_text("".join(f"{name}: {text}\n" for name, text in annotations.items()))


def main() -> None:
    """Make a dataset as the command line says."""
    parser = argparse.ArgumentParser(description="Make a dataset of handwritten digits.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, help="training images")
    parser.add_argument("--held-out", type=int, help="validation images")
    parser.add_argument("--size", type=int, help="side of the images in pixels")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    make(given.kind, given.folder, given.count, given.size, given.seed, given.held_out)
    print(f"{given.kind}: {given.folder}/train and {given.folder}/validation")


if __name__ == "__main__":
    main()
