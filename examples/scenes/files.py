"""The files of a dataset: images, annotations, maps, and their way to a bucket."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

JPEG_QUALITY = 95
SHORT, LONG = 3, 4  # TIFF's names for numbers of two and four bytes


def write_image(folder: Path, name: str, pixels: np.ndarray) -> None:
    """Write uint8 [H, W] or [H, W, 3] as a JPEG among a split's images."""
    path = folder / "images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=JPEG_QUALITY)


def write_metadata(folder: Path, metadata: Mapping[str, object]) -> None:
    """Write what a split is annotated for."""
    text = yaml.safe_dump(dict(metadata), sort_keys=False, default_flow_style=None, width=200)
    (folder / "metadata.yaml").write_text(text)


def write_annotations(path: Path, annotations: Mapping[str, object]) -> None:
    """Write one line an image."""
    path.write_text("".join(f"{name}: {flow(entry)}\n" for name, entry in annotations.items()))


def flow(value: object) -> str:
    """YAML on one line; words are bare, as a person writes them, other strings are quoted."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {flow(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str) and value.isidentifier():
        return value
    return json.dumps(value)


def write_pages(path: Path, pages: Sequence[np.ndarray], channels_first: bool = False) -> None:
    """Write a TIFF: a page is uint8 [H, W, 3], uint8 [H, W] or uint16 [H, W]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if channels_first:
        path.write_bytes(planar_tiff(pages))
        return
    first, *others = [Image.fromarray(page) for page in pages]
    first.save(path, save_all=True, append_images=others, compression="tiff_deflate")


def planar_tiff(pages: Sequence[np.ndarray]) -> bytes:
    """A TIFF that keeps each channel as a plane of its own, as writers of [3, H, W] arrays do.

    Pillow reads such files (PlanarConfiguration 2, TIFF 6.0, page 38) and cannot write them.
    """
    file = bytearray(b"II*\0\0\0\0\0")
    link = 4  # where the next page's directory is told
    for page in pages:
        planes = np.moveaxis(np.atleast_3d(page), 2, 0)
        bits = 8 * page.itemsize
        strips = [plane.astype(plane.dtype.newbyteorder("<")).tobytes() for plane in planes]
        offsets = [len(file) + number * len(strips[0]) for number in range(len(strips))]
        file += b"".join(strips)
        file += bytes(len(file) % 2)
        fields: list[tuple[int, int, list[int]]] = [
            (256, LONG, [page.shape[1]]),  # width
            (257, LONG, [page.shape[0]]),  # height
            (258, SHORT, [bits] * len(planes)),
            (259, SHORT, [1]),  # not compressed
            (262, SHORT, [2 if len(planes) == 3 else 1]),  # RGB, or zero is black
            (273, LONG, offsets),
            (277, SHORT, [len(planes)]),
            (278, LONG, [page.shape[0]]),  # one strip has all rows
            (279, LONG, [len(strip) for strip in strips]),
            (284, SHORT, [2 if len(planes) == 3 else 1]),  # planar, if there is a choice
        ]
        link = _append_directory(file, link, fields)
    return bytes(file)


def _append_directory(file: bytearray, link: int, fields: list[tuple[int, int, list[int]]]) -> int:
    """Append a page's fields, and tell at `link` where they are; returns the next page's link."""
    rows = []
    for tag, kind, values in fields:
        data = struct.pack(f"<{len(values)}{'H' if kind == SHORT else 'I'}", *values)
        if len(data) > 4:
            place = len(file)
            file += data
            data = struct.pack("<I", place)
        rows.append(struct.pack("<HHI4s", tag, kind, len(values), data))
    file[link : link + 4] = struct.pack("<I", len(file))
    file += struct.pack("<H", len(rows)) + b"".join(rows)
    file += bytes(4)
    return len(file) - 4


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
