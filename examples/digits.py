"""Makes small datasets of real handwritten digits (UCI's 1,797, which scikit-learn carries).

    python examples/digits.py KIND DIR [--count N] [--held-out N] [--size S] [--seed N] ...

writes DIR/train and DIR/validation in the documented format; no digit of one is in the other.
`classification` has one digit an image, `detection` scenes of one to five digits with their boxes,
`multitask` the same scenes with how many digits there are as a second annotation. There is a kind
for each further task, whose images are in color and whose digits are turned and hide one another:

    multilabel, metric-learning, regression, keypoints, quadrilaterals,
    semantic, instance, panoptic, depth, text
    partly       regression of which a share of the images is annotated
    unlabelled   images alone, one digit each
    anomaly      scenes alone; DIR/anomalies has odd ones and masks of what is odd
    everything   scenes with six sets of annotations
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # started as a script: the folder above is where `examples` is found
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from examples.scenes import anomalies, boxes, depth, scenes, singles, text
from examples.scenes.files import upload, write_metadata
from examples.scenes.source import SPLITS, Options, Order, handwritten

__all__ = ["KINDS", "Options", "handwritten", "make", "upload"]


@dataclass(frozen=True)
class Kind:
    """How a dataset is written, and what it has unless told otherwise.

    Args:
        write: Writes a split's images and annotations, and returns its metadata if it has any.
        size: Side (of lines: height) of the images in pixels.
        count: Training images.
        held_out: Validation images.
    """

    write: Callable[[Order], Mapping[str, object] | None]
    size: int = 96
    count: int = 2000
    held_out: int = 200


KINDS = {
    "classification": Kind(singles.classification, 32, 1437, 360),
    "detection": Kind(boxes.detection),
    "multitask": Kind(boxes.multitask),
    "multilabel": Kind(scenes.multilabel),
    "metric-learning": Kind(singles.metric_learning, 32, 1437, 360),
    "regression": Kind(singles.regression, 32, 2000, 360),
    "partly": Kind(singles.partly, 32, 2000, 360),
    "keypoints": Kind(scenes.keypoint_detection),
    "quadrilaterals": Kind(scenes.quadrilaterals),
    "semantic": Kind(scenes.semantic_segmentation),
    "instance": Kind(scenes.instance_segmentation),
    "panoptic": Kind(scenes.panoptic_segmentation),
    "depth": Kind(depth.depth),
    "text": Kind(text.text, 32),
    "unlabelled": Kind(singles.unlabelled, 32, 1437, 360),
    "anomaly": Kind(anomalies.normal),
    "everything": Kind(scenes.everything),
}


def make(
    kind: str,
    folder: Path,
    count: int | None = None,
    size: int | None = None,
    seed: int = 0,
    held_out: int | None = None,
    options: Options | None = None,
) -> Path:
    """Write folder/train with `count` images and folder/validation with `held_out`.

    Args:
        kind: One of `KINDS`.
        folder: Is made.
        count: Training images.
        size: Side of the images, in pixels.
        seed: The same seed makes the same files.
        held_out: Validation images.
        options: What the format leaves free.

    Raises:
        ValueError: Maps that are `shrink` times smaller would have another aspect ratio.
    """
    chosen, options = KINDS[kind], options or Options()
    size = size or chosen.size
    if size % options.shrink:
        raise ValueError(f"shrink: {size} pixels cannot be divided by {options.shrink}")
    totals = (
        chosen.count if count is None else count,
        chosen.held_out if held_out is None else held_out,
    )
    for split, total in zip(SPLITS, totals, strict=True):
        digits = handwritten(seed)[split]
        order = Order(folder / split, split, digits, total, size, seed, options)
        metadata = chosen.write(order)
        if metadata is not None:
            write_metadata(order.folder, metadata)
    return folder


def main() -> None:
    """Make a dataset as the command line says."""
    parser = argparse.ArgumentParser(description="Make a dataset of handwritten digits.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, help="training images")
    parser.add_argument("--held-out", type=int, help="validation images")
    parser.add_argument("--size", type=int, help="side of the images in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labelled", type=float, default=Options.labelled,
                        help="share of the training images that `partly` annotates")  # fmt: skip
    parser.add_argument("--shrink", type=int, default=Options.shrink,
                        help="maps and masks are this many times smaller than images")  # fmt: skip
    parser.add_argument("--channels-first", action="store_true",
                        help="panoptic maps keep one plane a channel")  # fmt: skip
    parser.add_argument("--rim", type=int, default=Options.rim,
                        help="pixels around digits that category maps ignore")  # fmt: skip
    given = parser.parse_args()
    options = Options(given.labelled, given.shrink, given.channels_first, given.rim)
    make(given.kind, given.folder, given.count, given.size, given.seed, given.held_out, options)
    print(f"{given.kind}: {given.folder}/train and {given.folder}/validation")


if __name__ == "__main__":
    main()
