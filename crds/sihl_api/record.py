"""The run record: what outlives the pod, and where each part of it lies.

    <prefix>/<namespace>/<project>/<job>.<uid8>/
        job.json                                the spec as run, image, versions
        attempts/<n>/metrics-<i>.jsonl          one `MetricLine` a line
        attempts/<n>/log-<i>.txt
        attempts/<n>/checkpoints/<step>/        *.safetensors, *.json, manifest.json last
        attempts/<n>/pictures/<step>/<head>/    a validation's predictions: PNG files, and as data
        attempts/<n>/result.json                a `runtime.Result`
        model/                                  model.safetensors, config.json, manifest.json last

A segment once written never changes, so that a live reader needs only the store. An attempt writes
under its own number only, so that a superseded one can spoil nothing; the final model is the one
exception, written by whichever attempt completes, its manifest last. Of checkpoints the newest two
are kept: an attempt removes older ones, its own and those of attempts before it.

Pictures are extra, and have no manifest. A reader may rely on this: an object is whole or not
there; its name is that of `picture_file`, or of a file of the dataset's own format that tells the
predictions (annotations.json); the same images are drawn at each validation. Any of them may be
missing for ever: a store that is away, a full disk, a stop or a newer validation costs pictures
before anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from pydantic import Field

from sihl_api.runtime import Message
from sihl_api.trainingjob import Initialization, TrainingJobSpec

MANIFEST = "manifest.json"
PICTURE_SUFFIX = ".png"
_IN_CHECKPOINT = re.compile(r"attempts/(\d+)/checkpoints/(\d+)/[^/]+$")
_PLAIN = re.compile(r"(?!.*--)\w[\w.-]{0,99}", re.ASCII)
_UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)
_KEPT = 60


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
        return f"{self.project_root}{self.job}.{self.uid[:8]}/"

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

    def metrics(self, attempt: int, segment: int) -> str:
        """Key of one segment of metrics; names sort as they were written."""
        return f"{self.attempt(attempt)}metrics-{segment:06d}.jsonl"

    def log(self, attempt: int, segment: int) -> str:
        """Key of one segment of the log."""
        return f"{self.attempt(attempt)}log-{segment:06d}.txt"

    def checkpoint(self, attempt: int, step: int) -> str:
        """The folder of one checkpoint, with a final slash."""
        return f"{self.attempt(attempt)}checkpoints/{step:09d}/"

    def pictures(self, attempt: int, step: int) -> str:
        """The folder of a validation's pictures, with a final slash; in it, one of each head."""
        return f"{self.attempt(attempt)}pictures/{step:09d}/"

    def result(self, attempt: int) -> str:
        """Key of an attempt's `runtime.Result`."""
        return f"{self.attempt(attempt)}result.json"

    @property
    def model(self) -> str:
        """The folder of the final model, with a final slash."""
        return f"{self.root}model/"


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


class JobRecord(Message):
    """job.json: what ran."""

    namespace: str
    name: str
    uid: str
    spec: TrainingJobSpec
    image: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    created_at: str


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
