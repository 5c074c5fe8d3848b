"""What tells one dataset from another, in a job's record: was it the data?

Names and ETags say whether objects are the same, without reading them again: the ETag of an object
that was put in one part is its MD5, so that a copy of a dataset has the fingerprint of its original.
"""

from __future__ import annotations

import json
from hashlib import sha256

from pydantic import Field

from sihl_api.runtime import Message


class Histogram(Message):
    """How often numbers occur: `counts[i]` from `edges[i]` on and below `edges[i + 1]`.

    The last edge counts as within.
    """

    edges: list[float]
    counts: list[int]


MOST_COUNTED = 200
"""Categories of an annotation set that are counted each for itself."""


class AnnotationsFingerprint(Message):
    """One annotation set.

    Attributes:
        digest: sha256 of the file, or over the sorted names and ETags of the folder's files.
        task: That is annotated.
        images: That are annotated.
        counts: By category, label or token how often it is annotated: objects or segments of
            detection and segmentation, else images (of texts, characters). The
            `MOST_COUNTED` most frequent ones; None for tasks without.
        others: What all further categories together are counted.
        histogram: Of the values, for tasks whose annotations are numbers.
    """

    digest: str
    task: str
    images: int
    counts: dict[str, int] | None = None
    others: int = 0
    histogram: Histogram | None = None


class SplitFingerprint(Message):
    """One split of a dataset.

    Attributes:
        images: How many there are.
        bytes: That they take.
        objects: sha256 over their sorted names and ETags.
        metadata: sha256 of the metadata's file; None where there is none.
        annotations: By the set's name, those that feed a head of the job.
    """

    images: int
    bytes: int
    objects: str
    metadata: str | None = None
    annotations: dict[str, AnnotationsFingerprint] = Field(default_factory=dict)


class DatasetFingerprint(Message):
    """Which data a job learnt from: where two are alike, the difference lies elsewhere."""

    train: SplitFingerprint | None = None
    validation: SplitFingerprint | None = None

    @property
    def digest(self) -> str:
        """sha256 of the whole, the same in any order of fields."""
        text = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)
        return sha256(text.encode()).hexdigest()
