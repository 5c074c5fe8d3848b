"""The run record: what outlives the pod, and where each part of it lies.

    <prefix>/<namespace>/<project>/<job>.<uid8>/
        job.json                                the spec as run, image, versions, the dataset
        summary.json                            a `JobSummary`, written anew as the job goes on
        attempts/<n>/metrics-<i>.jsonl          one `MetricLine` a line
        attempts/<n>/log-<i>.txt
        attempts/<n>/metrics-<i>-<j>.jsonl      the sum of segments i to j, in their place
        attempts/<n>/log-<i>-<j>.txt
        attempts/<n>/columns.safetensors        `ColumnName`: the lines of metrics once more
        attempts/<n>/checkpoints/<step>/        *.safetensors, *.json, manifest.json last
        attempts/<n>/pictures/<step>/<head>/    a validation's predictions: PNG files, and as data
        attempts/<n>/result.json                a `runtime.Result`
        attempts/<n>/probe                      nothing; there for a moment, before the fetch
        model/                                  model.safetensors, config.json, manifest.json last

A segment once written never changes, so that a live reader needs only the store. An attempt merges
its segments into sums, at its end and once an hour. A sum is written whole, and only then are the
pieces (and shorter sums) that it holds removed: a reader may see both, and `to_read` says which of
them hold each line once. A key that was listed and is gone when it is read went into a sum: list
again. Reading never depends on sums being there; records of earlier releases have none, nor a
summary or the dataset's fingerprint.

An attempt writes under its own number only, so that a superseded one can spoil nothing. There are
two exceptions: the final model, written by whichever attempt completes, its manifest last; and
the summary, which an attempt leaves alone where it names a later one. Of checkpoints the newest two
are kept: an attempt removes older ones, its own and those of attempts before it.

Pictures are extra, and have no manifest. A reader may rely on this: an object is whole or not
there; its name is that of `picture_file`, or of a file of the dataset's own format that tells the
predictions (annotations.json); the same images are drawn at each validation. Any of them may be
missing for ever: a store that is away, a full disk, a stop or a newer validation costs pictures
before anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from pydantic import Field

from sihl_api.fingerprint import DatasetFingerprint
from sihl_api.model import Initialization
from sihl_api.runtime import Message
from sihl_api.trainingjob import TrainingJobSpec

MANIFEST = "manifest.json"
PICTURE_SUFFIX = ".png"
_IN_CHECKPOINT = re.compile(r"attempts/(\d+)/checkpoints/(\d+)/[^/]+$")
_SEGMENTS = re.compile(r"(?:^|/)(?:metrics|log)-(\d+)(?:-(\d+))?\.(?:jsonl|txt)$", re.ASCII)
_PLAIN = re.compile(r"(?!.*--)\w[\w.-]{0,99}", re.ASCII)
_UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)
_KEPT = 60


def folder_of(job: str, uid: str) -> str:
    """What a job's folder is called: its namesake, made after it was deleted, has another."""
    return f"{job}.{uid[:8]}"


@dataclass(frozen=True)
class RecordPaths:
    """Keys of one job's record within the store's bucket."""

    prefix: str
    namespace: str
    project: str
    job: str
    uid: str

    @property
    def project_root(self) -> str:
        """The folder that holds the records of all the project's jobs, with a final slash."""
        parts = [self.prefix.strip("/"), self.namespace, self.project]
        return "/".join(part for part in parts if part) + "/"

    @property
    def root(self) -> str:
        """The job's folder, with a final slash."""
        return f"{self.project_root}{folder_of(self.job, self.uid)}/"

    @property
    def job_json(self) -> str:
        """Key of the `JobRecord`."""
        return f"{self.root}job.json"

    @property
    def attempts(self) -> str:
        """The folder of all attempts, with a final slash."""
        return f"{self.root}attempts/"

    def attempt(self, number: int) -> str:
        """The folder of one attempt, with a final slash."""
        return f"{self.attempts}{number}/"

    @property
    def summary(self) -> str:
        """Key of the `JobSummary`."""
        return f"{self.root}summary.json"

    def metrics(self, attempt: int, segment: int, last: int | None = None) -> str:
        """Key of one segment of metrics, or of the sum of several up to the last."""
        return f"{self.attempt(attempt)}metrics-{_numbers(segment, last)}.jsonl"

    def log(self, attempt: int, segment: int, last: int | None = None) -> str:
        """Key of one segment of the log, or of the sum of several up to the last."""
        return f"{self.attempt(attempt)}log-{_numbers(segment, last)}.txt"

    def columns(self, attempt: int) -> str:
        """Key of an attempt's columns: see `ColumnName`."""
        return f"{self.attempt(attempt)}columns.safetensors"

    def checkpoint(self, attempt: int, step: int) -> str:
        """The folder of one checkpoint, with a final slash."""
        return f"{self.attempt(attempt)}checkpoints/{step:09d}/"

    def pictures(self, attempt: int, step: int) -> str:
        """The folder of a validation's pictures, with a final slash; in it, one of each head."""
        return f"{self.attempt(attempt)}pictures/{step:09d}/"

    def probe(self, attempt: int) -> str:
        """Key of what an attempt writes to see whether it can."""
        return f"{self.attempt(attempt)}probe"

    def result(self, attempt: int) -> str:
        """Key of an attempt's `runtime.Result`."""
        return f"{self.attempt(attempt)}result.json"

    @property
    def model(self) -> str:
        """The folder of the final model, with a final slash."""
        return f"{self.root}model/"


def _numbers(first: int, last: int | None) -> str:
    return f"{first:06d}" if last is None else f"{first:06d}-{last:06d}"


def segments_of(key: str) -> tuple[int, int] | None:
    """First and last segment that an object of metrics or log holds; None for any other key."""
    match = _SEGMENTS.search(key)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return (first, last) if first <= last else None


def to_read(keys: Iterable[str]) -> list[str]:
    """The keys that together hold each line once, in the order in which lines were written.

    What another covers is left out, and so is what is neither a segment nor a sum.

    Args:
        keys: Of one kind (metrics or log) of one attempt, as they were listed, in any order.
    """
    held = [(*found, key) for key in keys if (found := segments_of(key))]
    chosen: list[str] = []
    covered = -1
    for _, last, key in sorted(held, key=lambda each: (each[0], -each[1], each[2])):
        if last > covered:
            chosen.append(key)
            covered = last
    return chosen


def checkpoint_of(key: str) -> tuple[int, int] | None:
    """(step, attempt) of the checkpoint that a file belongs to, or None for any other key.

    The pairs sort as checkpoints supersede each other: the later step wins, then the later
    attempt.
    """
    match = _IN_CHECKPOINT.search(key)
    return (int(match.group(2)), int(match.group(1))) if match else None


def picture_file(image: str, suffix: str = PICTURE_SUFFIX) -> str:
    """The name of an image's picture; images of different names have different ones.

    A key must do for every store, file system and URL: a name of anything but ASCII letters,
    digits, `_`, `-` and `.`, or a long one, is replaced by what is left of it and its hash. A name
    that is kept has no `--`, so that none is taken for another's replacement.

    Args:
        image: Its file's name in the dataset, for example `000.jpg`.
        suffix: With its dot; another one makes place for a second file, a map say.
    """
    if _PLAIN.fullmatch(image):
        return image + suffix
    digest = sha256(image.encode(errors="surrogatepass")).hexdigest()[:16]
    left = _UNSAFE.sub("_", image).lstrip(".-")[:_KEPT]
    return f"{left or '_'}--{digest}{suffix}"


class FileEntry(Message):
    """One file of a manifest."""

    bytes: int
    sha256: str


class Manifest(Message):
    """Written last: a folder without it does not exist, one with it is whole."""

    format: Literal["sihl.ai/checkpoint-1", "sihl.ai/model-1"]
    step: int
    attempt: int
    saved_at: str
    files: dict[str, FileEntry]


class MetricLine(Message):
    """One line of metrics: averages of training since the last, or a validation's results."""

    time: str
    step: int
    kind: Literal["train", "validation"]
    values: dict[str, float]


class ColumnName:
    """Tensors of columns.safetensors: an attempt's lines of metrics, once more, for readers.

    Whole numbers are int64, others float64; all have one dimension. It is a copy, which may be
    missing, and of the first lines only: what follows its bytes is read as lines.
    """

    BYTES = "bytes"
    """One number: of the lines, from their first on, that are in here."""
    UNREADABLE = "unreadable"
    """One number: of lines that say nothing."""
    STEPS = "steps"
    """Of each line."""
    TIMES = "times"
    """Of each line, in seconds since 1970; NaN where it names none."""

    @staticmethod
    def lines(kind: str, name: str | None = None) -> str:
        """Numbers of the lines of a kind, from 0 among all, ascending; or of those with a metric.

        A metric that is on all lines of its kind has none of its own.
        """
        return f"lines/{kind}" if name is None else f"lines/{kind}/{name}"

    @staticmethod
    def values(kind: str, name: str) -> str:
        """A metric's values, one for each of its lines."""
        return f"values/{kind}/{name}"


class JobRecord(Message):
    """job.json: what ran.

    Attributes:
        created_at: When this was written.
        submitted_at: When the job was; None where nobody says.
        dataset: What the first attempt learnt from; None where nobody says.
    """

    namespace: str
    name: str
    uid: str
    spec: TrainingJobSpec
    image: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    created_at: str
    submitted_at: str | None = None
    dataset: DatasetFingerprint | None = None


Better: TypeAlias = Literal["lower", "higher"]
"""Which of two values of a metric is the better one."""


class Point(Message):
    """A value, always finite, and the step that it was measured at."""

    step: int
    value: float


class MetricSummary(Message):
    """What became of one metric, over all attempts.

    What is no finite number does not count, nor what an earlier attempt measured after the step at
    which a later one resumed. Of equal values the first is the least, the greatest, the best.

    Attributes:
        best: The least or the greatest; None where neither is better.
        better: As the metric says.
    """

    last: Point | None = None
    min: Point | None = None
    max: Point | None = None
    best: Point | None = None
    better: Better | None = None


class AttemptSummary(Message):
    """When an attempt did what, as far as it came, and why it ended.

    Attributes:
        started_at: When its first container began: before it lies the queue.
        fetched_at: When the dataset was there and checked.
        trained_at: When its first step was done.
        stopping_at: When it was asked to stop.
        ended_at: When its result was known; None while it runs, or if it was killed.
        resumed_at_step: Of the checkpoint that it went on from; None: it began from the start.
        first_step: That it did itself; None where it did none, and so superseded nothing.
        last_step: That it did, as far as was told.
        reason: Of its `runtime.Result`.
        dataset: The digest of its dataset's fingerprint.
    """

    number: int
    started_at: str | None = None
    fetched_at: str | None = None
    trained_at: str | None = None
    stopping_at: str | None = None
    ended_at: str | None = None
    resumed_at_step: int | None = None
    first_step: int | None = None
    last_step: int | None = None
    reason: str | None = None
    dataset: str | None = None


class SummaryProgress(Message):
    """How far a job is."""

    step: int
    max_steps: int
    images_per_second: float | None = None


class JobSummary(Message):
    """summary.json: what a list of jobs shows, without reading their lines.

    Metrics have the names that `MetricLine.values` has. It is written after each validation, at
    least once an hour, and at an attempt's end.
    """

    updated_at: str
    train: dict[str, MetricSummary] = Field(default_factory=dict)
    validation: dict[str, MetricSummary] = Field(default_factory=dict)
    attempts: list[AttemptSummary] = Field(default_factory=list)
    progress: SummaryProgress | None = None


class HeadConfig(Message):
    """A head as it was built: enough to build it again without the dataset."""

    name: str
    task: str
    levels: list[int]
    settings: dict[str, Any] = Field(default_factory=dict)  # the head's own, with categories


class ModelConfig(Message):
    """config.json of a model: enough to build the network and read its weights."""

    format: Literal["sihl.ai/model-1"] = "sihl.ai/model-1"
    backbone: str
    neck: dict[str, Any] | None = None
    heads: list[HeadConfig]
    input_width: int
    input_height: int
    scale_at_inference: bool = True
    initialization: Initialization = Initialization()
