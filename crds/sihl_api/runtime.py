"""The contract inside a job's pod: what the operator puts in, and what the trainer gives back.

Operator and trainer never import each other; all that they must agree on stands here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sihl_api.reading import KnownSpec, read_spec
from sihl_api.status import CheckpointStatus, ModelStatus, Progress
from sihl_api.text import shortened

HTTP_PORT = 9464
"""Every container of the pod serves /metrics (Prometheus) and /progress (JSON) here in its turn."""

TRAINER_CONTAINER = "trainer"
FETCH_TRAIN_CONTAINER = "fetch-train"
FETCH_VALIDATION_CONTAINER = "fetch-validation"

DATASET_DIRECTORY = "/dataset"
"""An emptyDir of `datasetSize`; the splits are the folders train/ and validation/ of it."""
SCRATCH_DIRECTORY = "/scratch"
"""An emptyDir for checkpoints on their way to the store, and for temporary files (TMPDIR)."""
TERMINATION_LOG = "/dev/termination-log"

STORE_SECRET = "sihl-store"  # noqa: S105 (a Secret's name)
STORE_PLACE_KEYS = ("endpoint", "bucket")
STORE_OPTIONAL_KEYS = (
    "prefix", "region", "addressing", "certificateAuthority", "proxy", "sessionToken",
    "serviceAccount", "roleArn", "stsEndpoint",
)  # fmt: skip
STORE_KEYS = (*STORE_PLACE_KEYS, "accessKeyId", "secretAccessKey", *STORE_OPTIONAL_KEYS)
"""Keys of the namespace's store Secret; with `serviceAccount: "true"` it has no access key."""
DATASET_OPTIONAL_KEYS = ("sessionToken",)
DATASET_KEYS = ("accessKeyId", "secretAccessKey", *DATASET_OPTIONAL_KEYS)
"""Keys of a Secret that `dataset.*.credentials` names."""
STORE_SECRET_DIRECTORY = "/secrets/store"  # noqa: S105 (a folder)
"""Where the container that trains has the keys of the store's Secret as files, which follow it."""
DATASET_SECRET_DIRECTORY = "/secrets/dataset"  # noqa: S105 (a folder)
"""The same of the dataset's Secret, in the container that fetches it."""
TOKEN_FILE = "token"  # noqa: S105 (a file's name)
STORE_TOKEN_DIRECTORY = "/identity/store"  # noqa: S105 (a folder)
DATASET_TOKEN_DIRECTORY = "/identity/dataset"  # noqa: S105 (a folder)
"""Where a container has the token of its pod's service account that the operator puts there."""


class Env:
    """Names of the environment variables that a container is given.

    A Secret's keys are variables as well as files: the kubelet says by its name what a variable
    lacks, and waits for a volume without a word. The variables are what the Secret said when the
    container started; where there are files, they count.
    """

    JOB = "SIHL_JOB"  # JSON of `JobReference`
    ATTEMPT = "SIHL_ATTEMPT"
    POD_NAME = "SIHL_POD_NAME"
    NODE_NAME = "SIHL_NODE_NAME"
    SERVICE_ACCOUNT = "SIHL_SERVICE_ACCOUNT"
    IMAGE = "SIHL_IMAGE"
    STORE_FILES = "SIHL_STORE_FILES"  # the folder of the store's Secret
    DATASET_FILES = "SIHL_DATASET_FILES"  # the folder of the dataset's Secret
    LOG_FORMAT = "SIHL_LOG_FORMAT"  # "json": a JSON object a line; else text
    STORE_IDENTITY = "SIHL_STORE_TOKEN_FILE"  # of the pod's service account, for the store
    DATASET_IDENTITY = "SIHL_DATASET_TOKEN_FILE"  # the same for the dataset
    TRACES_ENDPOINT = "SIHL_TRACES_ENDPOINT"  # of a collector of OTLP over HTTP; else no traces
    ALLOW_CPU = "SIHL_ALLOW_CPU"  # "1": gpus > 0 may train on a CPU where torch sees no GPU

    @staticmethod
    def store(key: str) -> str:
        """The variable of a key of the store's Secret: SIHL_STORE_ACCESS_KEY_ID."""
        return f"SIHL_STORE_{_snake(key)}"

    @staticmethod
    def dataset(key: str) -> str:
        """The variable of a key of the dataset's Secret: SIHL_DATASET_ACCESS_KEY_ID."""
        return f"SIHL_DATASET_{_snake(key)}"


def _snake(key: str) -> str:
    return "".join(f"_{c}" if c.isupper() else c for c in key).upper()


class ExitCode(IntEnum):
    """How a container of the pod ended; sysexits.h where it has a fitting one."""

    SUCCEEDED = 0
    BAD_DATA = 65  # EX_DATAERR: no retry helps
    UNAVAILABLE = 69  # EX_UNAVAILABLE: a store did not answer; retried without counting
    CRASHED = 70  # EX_SOFTWARE: retried `retries` times
    OUT_OF_MEMORY = 71  # EX_OSERR: no retry helps
    STOPPED = 75  # EX_TEMPFAIL: stopped as asked, checkpoint durable
    STOPPED_WITHOUT_CHECKPOINT = 76  # stopped as asked; only an earlier checkpoint stands, or none
    REFUSED = 77  # EX_NOPERM: a store refuses the keys, or lacks the bucket; retried as with 69
    BAD_CONFIG = 78  # EX_CONFIG: no retry helps


class Message(BaseModel):
    """Base of what travels between pod and operator; unknown fields are ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        ser_json_inf_nan="strings",  # a loss that became NaN is told, not lost: JSON has no NaN
    )


class JobReference(Message):
    """The job as its pod knows it; `created_at` is when it was submitted.

    Operator and trainer may be of different releases: what either does not know is left out.
    """

    namespace: str
    name: str
    uid: str
    spec: KnownSpec
    created_at: str | None = None


TERMINATION_MESSAGE_LIMIT = 4096
RECORD_NOT_WRITABLE = "RecordNotWritable"
"""The reason of a stop whose last checkpoint the store did not take."""
NODE_OUT_OF_MEMORY = "NodeOutOfMemory"
"""The reason of an end for memory that no limit of the container's brought about."""


class Result(Message):
    """What a container leaves in its termination message: its end, told once, by itself.

    `reason` is CamelCase and becomes a condition's reason, `message` a person's text that names
    the file, field or resource and what to do. `checkpoint` is the last durable one, if any;
    `warnings` are sentences for a person of what is legal and odd.
    """

    reason: str
    message: str = ""
    step: int | None = None
    checkpoint: CheckpointStatus | None = None
    model: ModelStatus | None = None
    metrics: dict[str, str] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)

    def encode(self) -> bytes:
        """JSON of at most 4,096 bytes: Kubernetes cuts off what is longer, breaking it.

        What gives way first is the metrics, which the record has too, then warnings, which the log
        has, then the message's middle.
        """
        text, told = b"", _first(self.warnings)
        for metrics, warnings, limit in (
            (self.metrics, told, 1500), ({}, told, 1500), ({}, [], 1500), ({}, [], 400),
        ):  # fmt: skip
            message = shortened(self.message, limit)
            result = self.model_copy(
                update={"message": message, "metrics": metrics, "warnings": warnings}
            )
            text = result.model_dump_json(by_alias=True, exclude_none=True).encode()
            if len(text) <= TERMINATION_MESSAGE_LIMIT:
                break
        return text


def _first(warnings: list[str]) -> list[str]:
    """As many as a message has room for beside the rest, and how many more there are."""
    shown = [shortened(warning, 240) for warning in warnings[:4]]
    more = len(warnings) - len(shown)
    return [*shown, f"and {more} more, in the container's log"] if more else shown


class RecordReport(Message):
    """Whether the run record can be written; reason and message as a condition has them."""

    writable: bool
    reason: str = "Written"
    message: str = ""


class ProgressReport(Message):
    """What `GET /progress` answers; `record` is None while nobody knows."""

    stage: str  # Fetching, Checking, Loading, Training, Validating, Saving, Stopping
    progress: Progress = Progress()
    metrics: dict[str, str] = Field(default_factory=dict)
    checkpoint: CheckpointStatus | None = None
    record: RecordReport | None = None


def read_result(text: str | None) -> Result | None:
    """The result in a termination message, or None where it holds none (killed, or not ours)."""
    try:
        return Result.model_validate_json(text) if text else None
    except ValueError:
        return None


_VARIABLE_LIMIT = 120_000
"""Of the job's JSON, in bytes: Linux gives no process a variable of 128 KiB or more."""
_OF_THE_POD = (
    "affinity", "annotations", "env", "node_selector", "tolerations", "labels",
    "topology_spread_constraints",
)  # fmt: skip
"""Fields of the runner that the pod itself has, those that may be long first."""


def reference_json(
    namespace: str, name: str, uid: str, spec: dict[str, Any], created_at: str | None = None
) -> str:
    """JSON for `Env.JOB` from a job's raw spec.

    What can make a spec longer than a variable may be is what the pod itself has, such as an
    affinity to thousands of nodes by name: nobody in the pod needs that, and there it is left out.
    """
    reference = JobReference(
        namespace=namespace,
        name=name,
        uid=uid,
        spec=read_spec(spec)[0],
        created_at=created_at,
    )
    text = ""
    for count in range(len(_OF_THE_POD) + 1):
        left_out = {"spec": {"runner": set(_OF_THE_POD[:count])}}
        text = reference.model_dump_json(by_alias=True, exclude_none=True, exclude=left_out)
        if len(text.encode()) <= _VARIABLE_LIMIT:
            break
    return text
