"""The part `spec.runner` of a TrainingJob: its pod, and how that is started, stopped, retried."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

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
from sihl_api.texts import SIZE, Duration, Image, LabelValue, ObjectName, Quantity, is_amount, lasts


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
        lasts("checkpointInterval", "1s", "checkpoints need some time between them: write "
               "checkpointInterval like 10m"),
        lasts("stopGracePeriod", "10s", "a stop needs at least 10s to save its checkpoint: write "
               "stopGracePeriod like 5m"),
        lasts("startTimeout", "10s", "no pod starts within less than 10s: write startTimeout "
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
