"""Which node has room for a pod: what each offers, less what is taken or promised."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sihl_operator.views import NodeView, Raw, Resources

_NONE = Decimal(0)
_OF_THE_MOMENT = {
    "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable", "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/memory-pressure", "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure", "node.kubernetes.io/out-of-service",
    "node.cloudprovider.kubernetes.io/uninitialized", "node.cloudprovider.kubernetes.io/shutdown",
}  # fmt: skip
"""Taints of nodes that are cordoned, unwell or about to start: none lasts."""
_RECKONED = re.compile(
    r"Insufficient \S+|Too many pods|node\(s\) (?:had untolerated taints?|were unschedulable|"
    r"didn't match Pod's node affinity/selector)"
)
TO_COME = "(node to come)"
"""Stands in for the nodes that an autoscaler has yet to add."""


@dataclass(frozen=True)
class Demand:
    """What a pod asks of a node."""

    requests: Resources
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Raw, ...] = ()
    affinity: Raw | None = None
    adrift: bool = False
    """Kubernetes' scheduler takes none of the nodes that are there, for reasons of its own."""


@dataclass
class Room:
    """The cluster's free room during one round of decisions; what is promised is taken at once."""

    nodes: Mapping[str, NodeView]
    used: dict[str, Resources]
    others: Resources = field(default_factory=dict)
    """What other people's pods hold of what nodes are added for: nobody knows for how long."""

    def place(self, demand: Demand) -> str | None:
        """Take room on a node, the one that is left with the least; None where there is none."""
        fitting = [
            node
            for node in self.nodes.values()
            if admits(node, demand) and fits(self.free(node), demand.requests)
        ]
        if not fitting:
            return None
        tightest = min(fitting, key=lambda node: (self._left(node, demand), node.name))
        self.take(tightest.name, demand.requests)
        return tightest.name

    def promise(self, demand: Demand) -> None:
        """Count what was promised before: on a node, or on one that is still to come."""
        if demand.adrift or self.place(demand) is None:
            self.take(TO_COME, demand.requests)

    def take(self, node: str, requests: Resources) -> None:
        """Count requests against a node."""
        used = self.used.setdefault(node, {})
        for name, amount in requests.items():
            used[name] = used.get(name, _NONE) + amount

    def reserve(self, demand: Demand) -> bool:
        """Give away no room, this round, of one node that a demand without room waits for.

        Returns:
            Whether there is such a node.
        """
        suitable = [n for n in could_hold(self.nodes.values(), demand) if admits(n, demand)]
        if suitable:
            emptiest = max(suitable, key=lambda node: (self._left(node, demand), node.name))
            self.take(emptiest.name, demand.requests)
        return bool(suitable)

    def lacking(self, nodes: Iterable[NodeView], demand: Demand) -> list[set[str]]:
        """What each of these nodes has too little left of; one that takes no pods is left out."""
        free = [self.free(node) for node in nodes if admits(node, demand)]
        wanted = [(name, amount) for name, amount in demand.requests.items() if amount]
        return [
            {name for name, amount in wanted if left.get(name, _NONE) < amount} for left in free
        ]

    def free(self, node: NodeView) -> Resources:
        """What a node has left."""
        used = self.used.get(node.name, {})
        return {name: have - used.get(name, _NONE) for name, have in node.allocatable.items()}

    def _left(self, node: NodeView, demand: Demand) -> tuple[Decimal, ...]:
        free = self.free(node)
        # Scarce things first: an accelerator's resource has a domain, cpu and memory have none.
        names = sorted(demand.requests, key=lambda name: ("/" not in name, name))
        return tuple(free.get(name, _NONE) - demand.requests[name] for name in names)


def reckoned(message: str) -> bool:
    """Whether the scheduler leaves a pod out for nothing but what is reckoned with here too.

    Then room that becomes free is the pod's. Else it is not known here which room would do, such
    as where pods must not be neighbours: what is free goes to others.

    Args:
        message: Of the pod's condition: `0/3 nodes are available: 1 Insufficient cpu, 2 ...`.
    """
    said = message.partition("available: ")[2].partition(". ")[0].rstrip(". ")
    if message and not said:  # of a scheduler that counts in a way of its own, or of no node at all
        return message.startswith("no nodes available")
    reasons = re.split(r", (?=\d+ )", said) if said else []
    return all(_RECKONED.match(re.sub(r"^\d+ ", "", each)) for each in reasons)


def fits(free: Resources, requests: Resources) -> bool:
    """Whether requests are within what is free."""
    return all(free.get(name, _NONE) >= amount for name, amount in requests.items() if amount)


def could_hold(nodes: Iterable[NodeView], demand: Demand) -> list[NodeView]:
    """Nodes that would hold the demand if they were empty, well and took pods."""
    return [n for n in nodes if _suits(n, demand) and fits(n.whole, demand.requests)]


def shortage(nodes: Iterable[NodeView], demand: Demand) -> str:
    """For a person: why no node could ever hold the demand."""
    suitable = [node for node in nodes if _suits(node, demand)]
    if not suitable:
        return (
            "no node that runs Linux on an architecture of the trainer's image matches the job's "
            "nodeSelector, affinity and tolerations: change spec.runner in a new job, or add a node"
        )
    parts = []
    for name, amount in sorted(demand.requests.items()):
        most = max(node.whole.get(name, _NONE) for node in suitable)
        if amount > most:
            parts.append(f"{_shown(amount)} {name} (the largest node has {_shown(most)})")
    if not parts:
        parts = ["its requests together on one node"]
    return f"the job needs {', '.join(parts)}: ask for less in spec.runner, or add a node"


def _shown(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def admits(node: NodeView, demand: Demand) -> bool:
    """Whether a node takes such pods now."""
    return node.ready and node.schedulable and _takes(node, node.taints, demand)


def _suits(node: NodeView, demand: Demand) -> bool:
    """Whether a node takes such pods once it is well."""
    lasting = [taint for taint in node.taints if taint.get("key") not in _OF_THE_MOMENT]
    return _takes(node, lasting, demand)


def _takes(node: NodeView, taints: Iterable[Raw], demand: Demand) -> bool:
    """Whether such pods tolerate these taints of a node, and select it."""
    return (
        all(_tolerated(taint, demand.tolerations) for taint in taints)
        and all(node.labels.get(k) == v for k, v in demand.node_selector.items())
        and _affine(node, demand.affinity)
    )


def _tolerated(taint: Raw, tolerations: Iterable[Raw]) -> bool:
    if taint.get("effect") == "PreferNoSchedule":
        return True
    return any(
        toleration.get("effect") in (None, "", taint.get("effect"))
        and (
            (not toleration.get("key") and toleration.get("operator") == "Exists")
            or (
                toleration.get("key") == taint.get("key")
                and (
                    toleration.get("operator") == "Exists"
                    or (toleration.get("value") or "") == (taint.get("value") or "")
                )
            )
        )
        for toleration in tolerations
    )


def _affine(node: NodeView, affinity: Raw | None) -> bool:
    try:
        return _selected(node, affinity)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return True  # it means nothing: the API server refuses the pod, and says why


def _selected(node: NodeView, affinity: Raw | None) -> bool:
    required = ((affinity or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    terms = required.get("nodeSelectorTerms") or []
    return not terms or any(_chooses(term, node) for term in terms)


def _chooses(term: Raw, node: NodeView) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    return bool(expressions or fields) and (  # a term that asks for nothing matches no node
        all(_matches(node.labels, each) for each in expressions)
        and all(_matches({"metadata.name": node.name}, each) for each in fields)
    )


def _matches(labels: Mapping[str, str], expression: Mapping[str, Any]) -> bool:
    have, wanted = labels.get(expression["key"]), expression.get("values") or []
    match expression["operator"]:
        case "In":
            return have in wanted
        case "NotIn":
            return have not in wanted
        case "Exists":
            return have is not None
        case "DoesNotExist":
            return have is None
        case "Gt":
            return have is not None and have.isdigit() and int(have) > int(wanted[0])
        case "Lt":
            return have is not None and have.isdigit() and int(have) < int(wanted[0])
    return False
