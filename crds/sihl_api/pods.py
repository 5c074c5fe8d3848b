"""What of its own a job's pod has beside what the operator puts in: labels, variables, secrets.

Whatever the operator, the trainer or the cluster relies on cannot be given here.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import StringConstraints

from sihl_api.schema import Form, Rule, Schema
from sihl_api.texts import ObjectName, is_amount

_RESERVED = "^([^/]*[.])?(sihl[.]ai|kubernetes[.]io|k8s[.]io)/"
"""Domains whose labels and annotations steer the operator, or Kubernetes itself."""
_FREE_LABELS = "^app[.]kubernetes[.]io/(part-of|component|instance|version)$"
_BANDWIDTH = "^kubernetes[.]io/(ingress|egress)-bandwidth$"
_FREE_ANNOTATIONS = f"^(cluster-autoscaler|descheduler[.]alpha)[.]kubernetes[.]io/|{_BANDWIDTH}"


def labels_are_free(field: str) -> Rule:
    """No label is the operator's or Kubernetes' own."""
    return Rule(
        f"!has(self.{field}) || self.{field}.all(k, !k.matches('{_RESERVED}') || "
        f"k.matches('{_FREE_LABELS}'))",
        "labels of sihl.ai, kubernetes.io and k8s.io are the operator's and the cluster's, but for "
        "app.kubernetes.io/part-of, component, instance and version: name yours like "
        "example.com/cost-center",
        f".{field}",
    )


def annotations_are_free(field: str) -> Rule:
    """No annotation is the operator's or Kubernetes' own."""
    return Rule(
        f"!has(self.{field}) || self.{field}.all(k, !k.matches('{_RESERVED}|^prometheus[.]io/') || "
        f"k.matches('{_FREE_ANNOTATIONS}'))",
        "annotations of sihl.ai, prometheus.io, kubernetes.io and k8s.io are the operator's and "
        "the cluster's, but for cluster-autoscaler.kubernetes.io and a few: name yours like "
        "example.com/owner",
        f".{field}",
    )


def annotations_have_room(field: str) -> Rule:
    """All of them together are within the 256 KiB that the API server has for an object's."""
    return Rule(
        f"!has(self.{field}) || self.{field}.all(k, size(bytes(self.{field}[k])) <= 12288)",
        "an annotation here has at most 12 KiB, since those of a pod have 256 KiB together: "
        "shorten it",
        f".{field}",
    )


def bandwidths_are_amounts(field: str) -> Rule:
    """Else a node's network finds out, and makes no pod."""
    text = f"self.{field}[k]"
    return Rule(
        f"!has(self.{field}) || self.{field}.all(k, !k.matches('{_BANDWIDTH}') || "
        f"{is_amount(text)} && quantity({text}).compareTo(quantity('1k')) >= 0 && "
        f"quantity({text}).compareTo(quantity('1P')) <= 0)",
        "a bandwidth is counted in bits a second, from 1k to 1P: write it like 500M or 10G",
        f".{field}",
    )


AnnotationValue = Annotated[str, StringConstraints(max_length=8192)]
EnvironmentName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128),
    Form(
        r"^[A-Za-z_][A-Za-z0-9_]*$",
        "a variable is called by letters, digits and underscores, the first no digit, for example "
        "NCCL_DEBUG",
    ),
]
EnvironmentValue = Annotated[
    str,
    StringConstraints(max_length=4096),
    Form(r"^[^\x00]*$", "no variable can hold a zero byte: leave it out"),
]

_TAKEN = (
    "(?i)^(SIHL_.*|AWS_.*|PYTHON.*|LD_.*|KUBERNETES_.*|TORCHELASTIC_.*|[A-Z]+_VISIBLE_DEVICES|"
    "(LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)|PATH|HOME|TMPDIR)$"
)


class EnvironmentVariable(Schema):
    """A variable of the pod's containers: a text, taken as it stands.

    Whoever may read the job or its record can read it. A proxy's address may be one; what says
    where, or as whom, anything is read or written may not, and belongs into the dataset's place.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"!self.name.matches('{_TAKEN}')",
            "SIHL_*, AWS_*, PYTHON*, LD_*, KUBERNETES_*, *_VISIBLE_DEVICES, torchrun's RANK, "
            "WORLD_SIZE, MASTER_ADDR and the like, PATH, HOME and TMPDIR are not a job's to set: "
            "keys and places belong into spec.dataset, GPUs into runner.gpus; others are free, for "
            "example NCCL_DEBUG",
            ".name",
        ),
        Rule(
            "size(bytes(self.value)) <= 4096",
            "a variable here has at most 4 KiB: what is longer belongs into a file of the image",
            ".value",
        ),
    )

    name: EnvironmentName
    value: EnvironmentValue


class PullSecret(Schema):
    """A Secret of the job's namespace, of the type kubernetes.io/dockerconfigjson."""

    name: ObjectName
