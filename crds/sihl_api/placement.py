"""Where a job's pod may run: affinity, spread, tolerations, as in a Pod and held to its rules.

Typed, so that a misspelt field is refused and not ignored. Lists are bounded for CEL's sake.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from sihl_api.schema import Rule, Schema
from sihl_api.texts import (
    LABEL_NAME,
    LABEL_NAME_LENGTH,
    LABEL_VALUE,
    LabelName,
    LabelValue,
    NamespaceName,
    ObjectName,
)


def keys_are_labels(field: str) -> Rule:
    """The names in a mapping of labels are such as a label can have."""
    return Rule(
        f"!has(self.{field}) || self.{field}.all(k, size(k) <= {LABEL_NAME_LENGTH} && "
        f"k.{LABEL_NAME.cel})",
        LABEL_NAME.message,
        f".{field}",
    )


_VALUES_BY_OPERATOR = Rule(
    "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : "
    "self.operator in ['Gt', 'Lt'] || !has(self.values) || size(self.values) == 0",
    "In and NotIn need values, Exists and DoesNotExist take none",
    ".values",
)

# --- nodes -----------------------------------------------------------------------------------

MOST_VALUES = 20_000
"""Of an expression: people name thousands of nodes."""
OneOfMany = Annotated[str, StringConstraints(max_length=63), replace(LABEL_VALUE, of_many=True)]


class NodeRequirement(Schema):
    """What a node's label must be like."""

    rules: ClassVar[tuple[Rule, ...]] = (
        _VALUES_BY_OPERATOR,
        Rule(
            "!(self.operator in ['Gt', 'Lt']) || has(self.values) && size(self.values) == 1 && "
            "self.values[0].matches('^[0-9]{1,18}$')",
            "Gt and Lt compare with exactly one whole number: write it like values: ['8']",
            ".values",
        ),
        Rule(
            f"!has(self.values) || size(self.values) == 0 || self.values[0].{LABEL_VALUE.cel}",
            LABEL_VALUE.message,
            ".values",
        ),
    )

    key: LabelName
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: list[OneOfMany] | None = Field(default=None, max_length=MOST_VALUES)


class FieldRequirement(Schema):
    """Which node by its name."""

    key: Literal["metadata.name"]
    operator: Literal["In", "NotIn"]
    values: list[ObjectName] = Field(min_length=1, max_length=1)


class NodeSelectorTerm(Schema):
    """Requirements of a node, all of which hold."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.matchExpressions) && size(self.matchExpressions) > 0 || "
            "has(self.matchFields) && size(self.matchFields) > 0",
            "a term without matchExpressions and matchFields selects no node",
        ),
    )

    match_expressions: list[NodeRequirement] | None = Field(default=None, max_length=20)
    match_fields: list[FieldRequirement] | None = Field(default=None, max_length=5)


class NodeSelector(Schema):
    """Terms, one of which must hold."""

    node_selector_terms: list[NodeSelectorTerm] = Field(min_length=1, max_length=100)


Weight = Annotated[int, Field(ge=1, le=100)]


class PreferredNode(Schema):
    """Nodes that are better than others."""

    weight: Weight
    preference: NodeSelectorTerm


class NodeAffinity(Schema):
    """Which nodes the pod needs or prefers."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: list[PreferredNode] | None = Field(
        default=None, max_length=10
    )


# --- pods ------------------------------------------------------------------------------------


class LabelRequirement(Schema):
    """What an object's label must be like."""

    rules: ClassVar[tuple[Rule, ...]] = (_VALUES_BY_OPERATOR,)

    key: LabelName
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[LabelValue] | None = Field(default=None, max_length=50)


class LabelSelector(Schema):
    """Objects by their labels."""

    rules: ClassVar[tuple[Rule, ...]] = (keys_are_labels("matchLabels"),)

    match_labels: dict[str, LabelValue] | None = Field(default=None, max_length=20)
    match_expressions: list[LabelRequirement] | None = Field(default=None, max_length=10)


class PodAffinityTerm(Schema):
    """Other pods, and how near is near them."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!has(self.matchLabelKeys) || !has(self.mismatchLabelKeys) || "
             "self.matchLabelKeys.all(k, !(k in self.mismatchLabelKeys))",
             "a label is given either in matchLabelKeys or in mismatchLabelKeys",
             ".mismatchLabelKeys"),
    )  # fmt: skip

    label_selector: LabelSelector = Field(description="Without it no pod would be meant.")
    topology_key: LabelName
    namespaces: list[NamespaceName] | None = Field(default=None, max_length=20)
    namespace_selector: LabelSelector | None = None
    match_label_keys: list[LabelName] | None = Field(default=None, max_length=10)
    mismatch_label_keys: list[LabelName] | None = Field(default=None, max_length=10)


class WeightedPodAffinityTerm(Schema):
    """Pods that are better to be near to, or far from."""

    weight: Weight
    pod_affinity_term: PodAffinityTerm


class PodAffinity(Schema):
    """Which pods this one must or should be near to; of podAntiAffinity, far from."""

    required_during_scheduling_ignored_during_execution: list[PodAffinityTerm] | None = Field(
        default=None, max_length=10
    )
    preferred_during_scheduling_ignored_during_execution: list[WeightedPodAffinityTerm] | None = (
        Field(default=None, max_length=10)
    )


class Affinity(Schema):
    """Affinity, as in a Pod."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class TopologySpreadConstraint(Schema):
    """How evenly pods are spread over zones, nodes, ..., as in a Pod."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!has(self.minDomains) || self.whenUnsatisfiable == 'DoNotSchedule'",
             "minDomains belong to whenUnsatisfiable: DoNotSchedule", ".minDomains"),
        Rule("!has(self.matchLabelKeys) || !has(self.labelSelector.matchLabels) || "
             "self.matchLabelKeys.all(k, !(k in self.labelSelector.matchLabels))",
             "a label is given either in matchLabelKeys or in labelSelector", ".matchLabelKeys"),
    )  # fmt: skip

    max_skew: int = Field(ge=1, le=2**31 - 1)
    topology_key: LabelName
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: LabelSelector = Field(description="Without it no pod would be counted.")
    min_domains: int | None = Field(default=None, ge=1, le=2**31 - 1)
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None
    match_label_keys: list[LabelName] | None = Field(default=None, max_length=10)


# --- taints ----------------------------------------------------------------------------------


class Toleration(Schema):
    """A toleration, as in a Pod."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!has(self.operator) || self.operator != 'Exists' || !has(self.value) || "
             "self.value == ''",
             "operator Exists takes no value: leave it out, or write operator: Equal", ".value"),
        Rule("has(self.key) || has(self.operator) && self.operator == 'Exists'",
             "without a key every taint is tolerated, which is written operator: Exists", ".key"),
        Rule("!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
             "tolerationSeconds belong to effect: NoExecute, which ends pods that run",
             ".tolerationSeconds"),
    )  # fmt: skip

    key: LabelName | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = Field(default=None, ge=0)
