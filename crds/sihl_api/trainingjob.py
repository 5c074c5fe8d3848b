"""TrainingJob `sihl.ai/v1alpha1`: spec and status as types.

The one place for each field, its range, its default and its description: `crd` renders the
CustomResourceDefinition from these classes, the operator and the trainer read jobs with them.
What a schema cannot say stands beside its class as a `Rule` in CEL, evaluated by the API server.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from sihl_api.placement import Affinity, Toleration, TopologySpreadConstraint, keys_are_labels
from sihl_api.pods import (
    AnnotationValue,
    EnvironmentVariable,
    PullSecret,
    annotations_are_free,
    annotations_have_room,
    bandwidths_are_amounts,
    labels_are_free,
)
from sihl_api.resources import MOST_BYTES, Resources
from sihl_api.schema import Rule, Schema, told_apart
from sihl_api.tasks import DETECTING, Task
from sihl_api.texts import (
    DURATION,
    SIZE,
    Audience,
    Bucket,
    Certificates,
    Duration,
    Endpoint,
    Image,
    LabelValue,
    ModelUri,
    Name,
    ObjectName,
    Prefix,
    Proxy,
    Quantity,
    Region,
    RoleArn,
    is_amount,
)
from sihl_api.units import seconds

GROUP = "sihl.ai"
VERSION = "v1alpha1"
KIND = "TrainingJob"
PLURAL = "trainingjobs"
SHORT_NAME = "sihljob"
API_VERSION = f"{GROUP}/{VERSION}"

QUEUE_ANNOTATION = f"{GROUP}/queue"

LevelRange = Annotated[
    list[Annotated[int, Field(ge=1, le=7)]],
    Field(
        min_length=2,
        max_length=2,
        description="First and last level; level i has stride 2^i.",
    ),
]


def _lasts(field: str, least: str, message: str) -> Rule:
    """A duration that is at least so long, where it is one."""
    return Rule(
        f"!has(self.{field}) || !self.{field}.{DURATION.cel} || "
        f"duration(self.{field}) >= duration('{least}')",
        message,
        f".{field}",
    )


# --- dataset ---------------------------------------------------------------------------------


class Credentials(Schema):
    """As whom a dataset is read: by the keys of a Secret, or as the pod's service account.

    A Secret of the job's namespace has accessKeyId and secretAccessKey, and the sessionToken of
    keys that expire. For a service account keys are lent by a cloud, or a store, that trusts the
    cluster's tokens (web identity), and lent anew before they expire.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("has(self.secretName) != (has(self.serviceAccount) && self.serviceAccount)",
             "credentials are either those of a Secret or the pod's service account: write "
             "secretName: NAME, or serviceAccount: true"),
        Rule("has(self.serviceAccount) && self.serviceAccount || "
             "!has(self.roleArn) && !has(self.stsEndpoint) && !has(self.audience)",
             "roleArn, stsEndpoint and audience belong to serviceAccount: true"),
    )  # fmt: skip

    secret_name: ObjectName | None = Field(
        default=None,
        description="Secret in the job's namespace with accessKeyId and secretAccessKey, and the "
        "sessionToken of keys that expire.",
    )
    service_account: bool | None = Field(
        default=None,
        description="true: as the service account of the pod, runner.serviceAccountName. Without "
        "roleArn and audience the token and the role are those that the cloud's webhook gives the "
        "pod (on EKS AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or with Pod Identity "
        "AWS_CONTAINER_CREDENTIALS_FULL_URI).",
    )
    role_arn: RoleArn | None = Field(
        default=None,
        description="The role that the service account is to be, where no webhook says it.",
    )
    sts_endpoint: Endpoint | None = Field(
        default=None,
        description="URL of who lends the keys. Left out, AWS's of the region, or for another "
        "store its own endpoint.",
    )
    audience: Audience | None = Field(
        default=None,
        description="For whom the token of the pod is made out, where no webhook gives one. "
        "Left out, with a roleArn, sts.amazonaws.com.",
    )

    @property
    def token_audience(self) -> str | None:
        """Of the token that the operator puts into the pod; None where it puts none there."""
        if not self.service_account or not (self.role_arn or self.audience):
            return None
        return self.audience or DEFAULT_AUDIENCE


DEFAULT_AUDIENCE = "sts.amazonaws.com"


class Addressing(StrEnum):
    """Where a request names the bucket: in the path, or in the host."""

    PATH = "Path"
    VIRTUAL_HOST = "VirtualHost"


class S3Location(Schema):
    """A dataset's place in S3-compatible storage. Read permission is enough.

    What it says is all that counts: neither variables nor profiles of AWS's tools change where, or
    as whom, a dataset is read.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!self.bucket.matches('^([0-9]+[.]){3}[0-9]+$')",
             "no bucket is called as an address: the store's address goes into endpoint",
             ".bucket"),
        Rule("!self.prefix.matches('//|(^|/)[.][.]?(/|$)')",
             "a prefix is the path of a folder in the bucket, without s3://, the bucket, . and ..: "
             "write it like plates/2026", ".prefix"),
        Rule("size(bytes(self.prefix)) <= 900",
             "a store's keys have at most 1024 bytes, names of images among them: write a prefix "
             "of at most 900 bytes, like plates/2026", ".prefix"),
        Rule("!has(self.certificateAuthority) || "
             "!self.certificateAuthority.contains('PRIVATE KEY')",
             "a private key is nobody's here, who reads the job would have it: leave certificates "
             "alone, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, and make the "
             "key anew", ".certificateAuthority"),
    )  # fmt: skip

    endpoint: Endpoint = Field(
        description="URL of the S3 service, for example https://s3.eu-west-1.amazonaws.com."
    )
    bucket: Bucket
    prefix: Prefix = Field(
        default="",
        description="Folder of the dataset within the bucket: images/ lies directly below it.",
    )
    region: Region | None = Field(
        default=None,
        description="The bucket's. Left out, it is what the store says that it is.",
    )
    addressing: Addressing | None = Field(
        default=None,
        description="Where a request names the bucket: in its path, https://s3.example.org/bucket, "
        "or in its host, https://bucket.s3.example.org. Left out, it is VirtualHost for AWS, "
        "Alibaba Cloud, Tencent Cloud and Volcengine, else Path.",
    )
    certificate_authority: Certificates | None = Field(
        default=None,
        description="Certificates in PEM that are trusted beside the public authorities': of a "
        "private one, or the store's own where it has signed that itself.",
    )
    proxy: Proxy | None = Field(
        default=None,
        description="URL of the proxy by which the store is reached, for example "
        "http://proxy.example.org:3128. Left out, the pod's HTTPS_PROXY and NO_PROXY count.",
    )
    credentials: Credentials | None = Field(
        default=None, description="Without credentials the bucket is read anonymously."
    )


class Dataset(Schema):
    """What the job learns from, and what it is validated on."""

    train: S3Location
    validation: S3Location | None = Field(
        default=None,
        description="Without it, validationFraction of the training images is split off by seed.",
    )
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)


# --- model -----------------------------------------------------------------------------------

RESNETS = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2",
)  # fmt: skip
BACKBONE_TOP_LEVEL = 5
"""The coarsest level that a backbone computes; a neck may add coarser ones up to 7."""


class InitializationFrom(StrEnum):
    """Where a model's first weights come from."""

    RANDOM = "Random"
    IMAGENET = "ImageNet"
    JOB = "Job"
    URI = "URI"


class Initialization(Schema):
    """Where the model's first weights come from."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("(self.from == 'Job') == has(self.job)", "job is given with from: Job, and only then",
             ".job"),
        Rule("(self.from == 'URI') == has(self.uri)", "uri is given with from: URI, and only then",
             ".uri"),
        Rule("!has(self.uri) || !self.uri.matches('/[.][.]?(/|$)|[.]safetensors$')",
             "a model is a folder, without . and .. and the name of a file: write it like "
             "s3://bucket/path/model", ".uri"),
    )  # fmt: skip

    from_: InitializationFrom = Field(
        default=InitializationFrom.RANDOM,
        alias="from",
        description="ImageNet initializes the backbone; Job and URI every weight whose name and "
        "shape fit.",
    )
    job: ObjectName | None = Field(
        default=None, description="An earlier job of this project; its final model is loaded."
    )
    uri: ModelUri | None = Field(
        default=None,
        description="Folder of a model in the namespace's store: s3://bucket/path/model.",
    )


class Backbone(Schema):
    """The network that turns an image into levels of features."""

    name: Literal[RESNETS] = "resnet50"  # type: ignore[valid-type]  # an enum from one tuple


class Neck(Schema):
    """What mixes the backbone's levels, all with the same number of channels."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.levels[0] <= self.levels[1]", "levels are [first, last]: first must not exceed "
             "last", ".levels"),
        Rule("self.levels[0] <= 5", "a neck starts at one of the backbone's levels, 1 to 5",
             ".levels"),
    )  # fmt: skip

    name: Literal["FPN"] = "FPN"
    levels: LevelRange = Field(default=[3, 7])
    channels: int = Field(default=256, ge=8, le=2048, multiple_of=8)


class Head(Schema):
    """One task that the model learns, on one level or a range of levels."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!has(self.levels) || self.levels[0] <= self.levels[1]",
             "levels are [first, last]: first must not exceed last", ".levels"),
        Rule(f"!has(self.maxDetections) || self.task in {[task.value for task in DETECTING]}",
             "maxDetections belongs to tasks that find objects: " + ", ".join(DETECTING),
             ".maxDetections"),
    )  # fmt: skip

    name: Name = Field(description="Unique within the job; metrics and losses carry it.")
    task: Task = Field(
        description="What it learns: what the dataset is annotated for, or what that can become "
        "(docs/tasks.md). ViewInvariance, Autoencoding and AnomalyDetection need images alone."
    )
    annotations: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Which of the dataset's annotations feed this head; may be left out where "
        "the dataset has only one.",
    )
    levels: LevelRange | None = Field(
        default=None,
        description="First and last level; each task has its default (docs/tasks.md), mostly all "
        "of the neck's for what lies somewhere in the image, the coarsest for what is said of it "
        "as a whole.",
    )
    max_detections: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Objects that are predicted and measured in an image, at most; default twice "
        "as many as the fullest image of the dataset shows, and at least 300 (of masks, 100).",
    )
    loss_weight: float = Field(default=1.0, ge=0, le=1e6)


class Model(Schema):
    """Backbone, optional neck, and one or more heads of any mix of tasks."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.neck) || self.heads.all(h, !has(h.levels) || h.levels[1] <= 5)",
            "without a neck a head's levels are the backbone's, 1 to 5",
            ".heads",
        ),
        Rule(
            "has(self.neck) || self.heads.all(h, !has(h.levels) || h.levels[0] == h.levels[1])",
            "a head over several levels needs a neck, which gives them equal channels",
            ".heads",
        ),
        Rule(
            "!has(self.neck) || self.heads.all(h, !has(h.levels) || "
            "(h.levels[0] >= self.neck.levels[0] && h.levels[1] <= self.neck.levels[1]))",
            "a head's levels must lie within the neck's",
            ".heads",
        ),
    )

    initialization: Initialization = Initialization()
    backbone: Backbone = Backbone()
    neck: Neck | None = None
    heads: list[Head] = Field(
        min_length=1,
        max_length=16,
        json_schema_extra=told_apart("name"),
    )


# --- training --------------------------------------------------------------------------------


class OptimizerName(StrEnum):
    """Optimizers, as torch.optim names them."""

    ADAMW = "AdamW"
    SGD = "SGD"


class Optimizer(Schema):
    """How weights follow their gradients."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.name == 'SGD' || !has(self.momentum)", "momentum belongs to SGD; AdamW has none",
             ".momentum"),
    )  # fmt: skip

    name: OptimizerName = OptimizerName.ADAMW
    learning_rate: float = Field(default=1e-3, gt=0, le=100)
    weight_decay: float = Field(default=1e-4, ge=0, le=100)
    momentum: float | None = Field(default=None, ge=0, lt=1, description="SGD only; default 0.9.")


class SchedulerName(StrEnum):
    """Learning-rate schedules."""

    ONE_CYCLE = "OneCycle"
    MULTI_STEP = "MultiStep"
    CONSTANT = "Constant"


class Scheduler(Schema):
    """How the learning rate changes over the steps."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("(self.name == 'MultiStep') == has(self.milestones)",
             "milestones are given with MultiStep, and only then", ".milestones"),
        Rule("self.name == 'MultiStep' || !has(self.factor)", "factor belongs to MultiStep",
             ".factor"),
        Rule("self.name == 'OneCycle' || (!has(self.warmupSteps) && !has(self.initialFactor) && "
             "!has(self.finalFactor))",
             "warmupSteps, initialFactor and finalFactor belong to OneCycle", ".name"),
    )  # fmt: skip

    name: SchedulerName = SchedulerName.ONE_CYCLE
    milestones: list[Annotated[int, Field(ge=1)]] | None = Field(
        default=None, min_length=1, max_length=50, description="Steps at which the rate falls."
    )
    factor: float | None = Field(
        default=None, gt=0, lt=1, description="What each milestone multiplies by; default 0.1."
    )
    warmup_steps: int | None = Field(
        default=None, ge=0, description="Steps until the full rate; default a tenth of all steps."
    )
    initial_factor: float | None = Field(
        default=None, gt=0, le=1, description="First rate as a part of the full one; default 0.04."
    )
    final_factor: float | None = Field(
        default=None, gt=0, le=1, description="Last rate as a part of the full one; default 0.0001."
    )


class InputSize(Schema):
    """The resolution in pixels that images are letterboxed to: scaled and padded, never cropped."""

    width: int = Field(default=512, ge=8, le=8192)
    height: int = Field(default=512, ge=8, le=8192)


DEFAULT_SCALE = 0.1


class Augmentation(Schema):
    """Random changes to training images, drawn from (seed, epoch, index)."""

    horizontal_flip: bool = Field(default=False, description="Mirror every second image.")
    scale: float | None = Field(
        default=None,
        ge=0,
        le=0.9,
        description="Shrink by up to this part, placed at random; default 0.1, or 0 where a head "
        "learns depth, which would change with it.",
    )
    brightness: float = Field(default=0.1, ge=0, le=1, description="Brighten or darken by up to.")


class Precision(StrEnum):
    """Number format of forward and backward passes; weights and optimizer stay float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Training(Schema):
    """Hyperparameters; each has a default."""

    rules: ClassVar[tuple[Rule, ...]] = (
        _lasts("maxDuration", "1s", "a job that may not learn at all is no job: leave maxDuration "
               "out for no limit, or write it like 8h"),
        Rule("!has(self.scheduler) || !has(self.scheduler.milestones) || "
             "self.scheduler.milestones.all(m, m <= self.maxSteps)",
             "training ends at maxSteps, before a milestone beyond it: lower the milestone, or "
             "raise training.maxSteps", ".scheduler.milestones"),
        Rule("!has(self.scheduler) || !has(self.scheduler.warmupSteps) || "
             "self.scheduler.warmupSteps <= self.maxSteps",
             "training ends at maxSteps, before its warm-up does: lower warmupSteps, or raise "
             "training.maxSteps", ".scheduler.warmupSteps"),
    )  # fmt: skip

    max_steps: int = Field(default=10_000, ge=1, le=100_000_000)
    max_duration: Duration | None = Field(
        default=None,
        description="Learning time after which training ends early and well, over all attempts.",
    )
    validations: int = Field(
        default=10, ge=1, le=10_000, description="How many, evenly over the run; last at the end."
    )
    pictures: int = Field(
        default=8,
        ge=0,
        le=64,
        description="Validation images whose predictions are drawn into the record at each "
        "validation.",
    )
    batch_size: int = Field(default=16, ge=1, le=65_536, description="Over all GPUs together.")
    input_size: InputSize = InputSize()
    scale_at_inference: bool = Field(
        default=True,
        description="Whether validation images are letterboxed too, or only padded.",
    )
    gradient_clip_norm: float | None = Field(default=None, gt=0, le=1e6)
    augmentation: Augmentation = Augmentation()
    optimizer: Optimizer = Optimizer()
    scheduler: Scheduler = Scheduler()
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    precision: Precision = Precision.FLOAT32


# --- runner ----------------------------------------------------------------------------------


def _gpus_agree(field: str) -> Rule:
    amount = f"self.resources.{field}[k]"
    return Rule(
        f"!has(self.resources) || !has(self.resources.{field}) || self.resources.{field}.all(k, "
        f"!k.matches('(?i)gpu|/mig-') || {is_amount(f'string({amount})')} && "
        f"quantity(string({amount})).isInteger() && "
        f"quantity(string({amount})).asInteger() == self.gpus)",
        "GPUs are asked for by runner.gpus: leave them out of runner.resources",
        f".resources.{field}",
    )


class Runner(Schema):
    """Where the job runs, and how it is started, stopped and retried."""

    rules: ClassVar[tuple[Rule, ...]] = (
        _gpus_agree("requests"),
        _gpus_agree("limits"),
        keys_are_labels("nodeSelector"),
        keys_are_labels("labels"),
        labels_are_free("labels"),
        keys_are_labels("annotations"),
        annotations_are_free("annotations"),
        annotations_have_room("annotations"),
        bandwidths_are_amounts("annotations"),
        Rule(f"!has(self.datasetSize) || !self.datasetSize.{SIZE.cel} || "
             "quantity(self.datasetSize).compareTo(quantity('1Ki')) >= 0 && "
             f"quantity(self.datasetSize).compareTo(quantity('{MOST_BYTES}')) <= 0",
             f"datasetSize is counted in bytes, at least 1Ki and at most {MOST_BYTES}: write 20Gi "
             "or 500Mi", ".datasetSize"),
        _lasts("checkpointInterval", "1s", "checkpoints need some time between them: write "
               "checkpointInterval like 10m"),
        _lasts("stopGracePeriod", "10s", "a stop needs at least 10s to save its checkpoint: write "
               "stopGracePeriod like 5m"),
        _lasts("startTimeout", "10s", "no pod starts within less than 10s: write startTimeout "
               "like 1h"),
    )  # fmt: skip

    gpus: int = Field(
        default=1, ge=0, le=64, description="0 trains on the CPU; more than one in one pod."
    )
    resources: Resources = Resources()
    node_selector: dict[str, LabelValue] = Field(default={}, max_length=20)
    tolerations: list[Toleration] = Field(default=[], max_length=20)
    affinity: Affinity | None = None
    topology_spread_constraints: list[TopologySpreadConstraint] = Field(
        default=[],
        max_length=10,
        json_schema_extra=told_apart("topologyKey", "whenUnsatisfiable"),
    )
    scheduler_name: ObjectName | None = Field(
        default=None, description="Who places the pod. Left out, Kubernetes' own scheduler."
    )
    runtime_class_name: ObjectName | None = Field(
        default=None,
        description="A class that chooses nodes does so for nodeSelector too: repeat its labels "
        "there, so that the job waits for one of them.",
    )
    service_account_name: ObjectName | None = None
    priority_class_name: ObjectName | None = None
    labels: dict[str, LabelValue] = Field(
        default={}, max_length=20, description="Of the pod, beside the operator's."
    )
    annotations: dict[str, AnnotationValue] = Field(
        default={}, max_length=20, description="Of the pod, beside the operator's."
    )
    env: list[EnvironmentVariable] = Field(
        default=[],
        max_length=50,
        json_schema_extra=told_apart("name"),
        description="Variables of the pod's containers, as they stand: no secrets, which whoever "
        "reads the job or its record would see.",
    )
    image: Image | None = Field(
        default=None, description="Instead of the operator's trainer image."
    )
    image_pull_secrets: list[PullSecret] = Field(
        default=[],
        max_length=10,
        json_schema_extra=told_apart("name"),
        description="Secrets of the job's namespace, beside the operator's own setting.",
    )
    dataset_size: Quantity = Field(
        default="20Gi", description="Most that the dataset may take of the node's disk."
    )
    checkpoint_interval: Duration = "10m"
    stop_grace_period: Duration = Field(
        default="5m", description="What a stop may take, checkpoint and upload included."
    )
    start_timeout: Duration = Field(
        default="1h", description="From the pod's creation to the first step's readiness."
    )
    retries: int = Field(
        default=3, ge=0, le=1000, description="After failures that a retry may help."
    )


class TrainingJobSpec(Schema):
    """What is to be trained, on what, where."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.project == oldSelf.project", "project cannot change", ".project"),
        Rule("self.runner.gpus <= 1 || self.training.batchSize % self.runner.gpus == 0",
             "training.batchSize must be a multiple of runner.gpus: each GPU takes an equal part",
             ".training.batchSize"),
        # The backbone's last level has a stride of 32.
        Rule("self.training.batchSize > 1 && self.training.batchSize > self.runner.gpus || "
             "self.training.inputSize.width > 32 || self.training.inputSize.height > 32",
             "one image of at most 32 x 32 pixels a GPU is a single value a channel, which batch "
             "normalization cannot use: raise training.batchSize or training.inputSize",
             ".training.batchSize"),
        Rule("!has(self.training.augmentation) || !has(self.training.augmentation.horizontalFlip) "
             "|| !self.training.augmentation.horizontalFlip || "
             "!self.model.heads.exists(h, h.task == 'TextRecognition')",
             "mirrored images teach a text head to read backwards: leave "
             "training.augmentation.horizontalFlip out",
             ".training.augmentation.horizontalFlip"),
        Rule("!has(self.training.augmentation) || !has(self.training.augmentation.scale) || "
             "self.training.augmentation.scale == 0.0 || "
             "!self.model.heads.exists(h, h.task == 'DepthEstimation')",
             "what is shrunk looks further away than its annotated depth: set "
             "training.augmentation.scale to 0, or leave it out",
             ".training.augmentation.scale"),
        _lasts("ttlAfterFinished", "1m", "whoever waits for the job's end needs some time to see "
               "it: write ttlAfterFinished like 24h, at least 1m, or leave it out to keep the job"),
    )  # fmt: skip

    project: Name = Field(
        description="What jobs are compared within, and their queue unless the annotation "
        f"{QUEUE_ANNOTATION} names another. Cannot change."
    )
    priority: int = Field(
        default=0, ge=-1_000_000, le=1_000_000, description="Higher first within the queue."
    )
    suspend: bool = Field(
        default=False,
        description="true: stop with a checkpoint, or never start. false again: queue and resume.",
    )
    ttl_after_finished: Duration | None = Field(
        default=None,
        description="How long after it has Succeeded or Failed the job is deleted, by the "
        "operator; its record stays. Left out: never. A Stopped job is kept, to be resumed. "
        "Counted from when the operator first saw the end: one that starts anew counts anew. Not "
        "for jobs that Git or Helm hold, which would make them again, and train them again.",
    )
    dataset: Dataset
    model: Model
    training: Training = Training()
    runner: Runner = Runner()

    @property
    def augmentation(self) -> Augmentation:
        """The job's, with what it leaves out."""
        given = self.training.augmentation
        if given.scale is not None:
            return given
        depth = any(head.task is Task.DEPTH_ESTIMATION for head in self.model.heads)
        return given.model_copy(update={"scale": 0.0 if depth else DEFAULT_SCALE})

    @property
    def stop_grace_seconds(self) -> int:
        """Seconds between a stop's request and the pod's forced end."""
        return seconds(self.runner.stop_grace_period)


# --- status ----------------------------------------------------------------------------------


class Phase(StrEnum):
    """Where a job is in its life."""

    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    SUCCEEDED = "Succeeded"
    STOPPED = "Stopped"
    FAILED = "Failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless a user resumes a Stopped job."""
        return self in (Phase.SUCCEEDED, Phase.STOPPED, Phase.FAILED)

    @property
    def active(self) -> bool:
        """Whether the job holds its queue."""
        return self in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING)


class ConditionType(StrEnum):
    """What a TrainingJob's conditions speak of, in the order in which they stand.

    RecordWritable is there once the running attempt could not write its record for a while, or
    ended so: False says what cannot be saved, and why.

    Finished is True once the job has ended, however, with the phase as its reason; it is False
    again once a job that was Stopped or has Failed goes on. Stalled is True as long as the job is
    refused or has Failed, and else not there: nothing but its user brings it on. None of them
    says "not ready" of a job that waits or trains, which takes days.
    """

    ACCEPTED = "Accepted"
    ADMITTED = "Admitted"
    DATASET_READY = "DatasetReady"
    CHECKPOINT_SAVED = "CheckpointSaved"
    RECORD_WRITABLE = "RecordWritable"
    COMPLETE = "Complete"
    FAILED = "Failed"
    FINISHED = "Finished"
    STALLED = "Stalled"


class StatusSchema(Schema):
    """Base of status parts: fields that a newer operator wrote are kept out of the way."""

    model_config = ConfigDict(extra="ignore")


class Condition(StatusSchema):
    """A metav1.Condition."""

    type: str = Field(max_length=316)
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(max_length=1024)
    message: str = Field(default="", max_length=32768)
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    observed_generation: int | None = Field(
        default=None, description="Of the spec that it was said of: always the newest."
    )


class Progress(StatusSchema):
    """How far the running attempt is; written at most every ten seconds."""

    step: int | None = None
    max_steps: int | None = None
    percent: int | None = None
    remaining: str | None = Field(default=None, description="Time left, for example 12m30s.")
    images_per_second: float | None = None
    dataset_bytes: int | None = None
    dataset_total_bytes: int | None = None


class CheckpointStatus(StatusSchema):
    """The last durable checkpoint: its manifest lies in the store."""

    step: int
    uri: str
    saved_at: str = Field(json_schema_extra={"format": "date-time"})


class ModelStatus(StatusSchema):
    """The final model."""

    uri: str
    checksum: str = Field(description="sha256 of model.safetensors, in hexadecimal.")


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Obstacle(StatusSchema):
    """What is in a job's way and not its fault: waited for, not counted, and since when.

    It goes once a checkpoint is saved, the job ends, or something else is in the way.
    """

    reason: str = Field(max_length=1024, description="As the conditions have it.")
    since: Time
    attempts: int = Field(ge=0, description="Attempts in a row that it has cost.")


class TrainingJobStatus(StatusSchema):
    """What happened, and what is happening. Only the operator writes it."""

    phase: Phase | None = None
    observed_generation: int | None = Field(
        default=None,
        description="Of the spec that the operator has seen; -1 before it has seen the job.",
    )
    queue: str | None = Field(default=None, description="Under which the job was admitted.")
    attempt: int | None = Field(default=None, ge=0)
    failures: int | None = Field(
        default=None, ge=0, description="Attempts that counted against runner.retries."
    )
    retry_after: Time | None = Field(default=None, description="Backoff: not admitted before.")
    obstacle: Obstacle | None = None
    pod_name: str | None = None
    node_name: str | None = None
    queue_position: int | None = Field(
        default=None, description="1 is next. Kept for the first ten of a queue."
    )
    submitted_at: Time | None = None
    started_at: Time | None = Field(default=None, description="When the attempt was admitted.")
    running_at: Time | None = Field(default=None, description="When its training began.")
    ended_at: Time | None = None
    progress: Progress | None = None
    metrics: dict[str, str] | None = Field(
        default=None, max_length=200, description="Of the last validation: head/metric."
    )
    checkpoint: CheckpointStatus | None = None
    model: ModelStatus | None = None
    conditions: list[Condition] | None = Field(
        default=None,
        description="Others may add some of their own, which are kept.",
        json_schema_extra=told_apart("type"),
    )


JOB_RULES = (
    Rule(
        "size(self.metadata.name) <= 63",
        "metadata.name must have at most 63 characters: it becomes a label and a folder's name",
    ),
    Rule(
        "!has(oldSelf.status) || !has(oldSelf.status.attempt) || oldSelf.status.attempt == 0 || "
        "(self.spec.dataset == oldSelf.spec.dataset && self.spec.model == oldSelf.spec.model && "
        "self.spec.training == oldSelf.spec.training && self.spec.runner == oldSelf.spec.runner)",
        "a job that has started can only change suspend and priority: submit a new job instead",
    ),
)
"""Rules over the whole object; the second is a transition rule, for updates only."""
