"""A node, and what pods take of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

from sihl_api.units import quantity
from sihl_operator.views.raw import Raw

Resources = dict[str, Decimal]


@dataclass(frozen=True)
class NodeView:
    """A node: what it offers, and to whom."""

    name: str
    allocatable: Resources
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Raw, ...] = ()
    schedulable: bool = True
    ready: bool = True
    devices: Resources = field(default_factory=dict)
    """Extended resources that it has, the unhealthy ones among them."""

    @cached_property
    def whole(self) -> Resources:
        """What it offers when all its devices are healthy."""
        most = dict(self.allocatable)
        for name, have in self.devices.items():
            most[name] = max(have, most.get(name, have))
        return most


def node_view(raw: Raw) -> NodeView:
    """A node."""
    status, spec = raw.get("status") or {}, raw.get("spec") or {}
    ready = any(
        c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or []
    )
    return NodeView(
        name=raw["metadata"]["name"],
        allocatable=resources(status.get("allocatable") or {}),
        labels=raw["metadata"].get("labels") or {},
        taints=tuple(spec.get("taints") or ()),
        schedulable=not spec.get("unschedulable"),
        ready=ready,
        # cpu and memory have no domain: of these the system keeps some for itself.
        devices={k: v for k, v in resources(status.get("capacity") or {}).items() if "/" in k},
    )


@dataclass(frozen=True)
class Usage:
    """What any pod of the cluster, ours or not, takes of its node."""

    node: str
    requests: Resources


def usage_view(raw: Raw) -> Usage | None:
    """A pod's share of its node; None where it has none, or has given it back.

    A node that others are sent away from for a pod is promised to that pod before it is bound.
    """
    status = raw.get("status") or {}
    node = (raw.get("spec") or {}).get("nodeName") or status.get("nominatedNodeName")
    if not node or status.get("phase") in ("Succeeded", "Failed"):
        return None
    return Usage(node, pod_requests(raw["spec"]))


def pod_requests(spec: Raw) -> Resources:
    """What the scheduler counts: the containers together, or the largest init container.

    Init containers that restart always (sidecars) run beside the others and count with them.
    """
    total: Resources = {"pods": Decimal(1)}
    for container in spec.get("containers") or []:
        _add(total, _requests(container))
    peak: Resources = {}
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            _add(total, _requests(container))
        for name, amount in _requests(container).items():
            peak[name] = max(peak.get(name, Decimal(0)), amount)
    for name, amount in peak.items():
        total[name] = max(total.get(name, Decimal(0)), amount)
    _add(total, resources(spec.get("overhead") or {}))
    return total


def resources(raw: Raw) -> Resources:
    """Quantities as numbers; what is none counts nothing, and the API server refuses its pod."""
    return {name: amount for name, text in raw.items() if (amount := _number(text)) is not None}


def _number(text: Any) -> Decimal | None:
    try:
        return quantity(text)
    except ValueError:
        return None


def _requests(container: Raw) -> Resources:
    given = container.get("resources") or {}
    return resources({**(given.get("limits") or {}), **(given.get("requests") or {})})


def _add(total: Resources, more: Resources) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Decimal(0)) + amount
