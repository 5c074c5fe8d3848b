"""What the nodes offer, and what pods take of it: those that have a node, and those that wait."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from decimal import Decimal

from sihl_operator.capacity import Demand, Room, reckoned
from sihl_operator.views import (
    Key,
    NodeView,
    PodView,
    Raw,
    Resources,
    Usage,
    node_view,
    pod_requests,
    usage_view,
)

_NONE = Decimal(0)


class Occupancy:
    """Of all nodes, by all pods, ours or not.

    Attributes:
        nodes: By name.
        usage: What each pod takes that has a node.
        unbound: Pods of ours that have no node yet: they will take room, whatever became of a job.
        changed: Whether there may be room for whom there was none.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, NodeView] = {}
        self.usage: dict[Key, Usage] = {}
        self.unbound: dict[Key, Demand] = {}
        self.changed = True
        self._used: dict[str, Resources] = {}

    # --- what is seen ------------------------------------------------------------------------

    def saw_node(self, raw: Raw, deleted: bool = False) -> None:
        """A node."""
        node = node_view(raw)
        if deleted:
            self._lose_node(node.name)
        elif self.nodes.get(node.name) != node:
            self.nodes[node.name] = node
            self.changed = True

    def saw_all_nodes(self, names: Collection[str]) -> None:
        """All that there are: the others are gone."""
        for name in self.nodes.keys() - names:
            self._lose_node(name)

    def _lose_node(self, name: str) -> None:
        self.nodes.pop(name, None)
        self.changed = True

    def saw_pod(self, key: Key, raw: Raw) -> None:
        """Any pod that is there."""
        self._use(key, usage_view(raw))

    def lose_pod(self, key: Key) -> None:
        """Any pod that is not there any more."""
        self._use(key, None)
        self._await_none(key)

    def _use(self, key: Key, use: Usage | None) -> None:
        before = self.usage.get(key)
        if before == use:
            return
        self.changed = True
        if before is not None:
            del self.usage[key]
            node = self._used[before.node]
            for name, amount in before.requests.items():
                node[name] -= amount
            if not node["pods"]:
                del self._used[before.node]
        if use is not None:
            self.usage[key] = use
            node = self._used.setdefault(use.node, {})
            for name, amount in use.requests.items():
                node[name] = node.get(name, _NONE) + amount

    def saw_ours(self, pod: PodView, raw: Raw) -> None:
        """A pod of ours that is there: it waits for a node until it has one, or has ended."""
        spec = raw["spec"]
        if pod.ended or spec.get("nodeName"):
            self._await_none(pod.key)
            return
        if pod.gates:  # who set them may take days: its job was promised room until it was seen
            self._await_none(pod.key)
            self.changed = True
            return
        wanted = Demand(
            pod_requests(spec),
            spec.get("nodeSelector") or {},
            tuple(spec.get("tolerations") or ()),
            spec.get("affinity"),
            adrift=not reckoned(pod.unschedulable),
        )
        before, self.unbound[pod.key] = self.unbound.get(pod.key), wanted
        if before != wanted and (before is not None or wanted.adrift):
            self.changed = True

    def _await_none(self, key: Key) -> None:
        if self.unbound.pop(key, None) is not None:
            self.changed = True

    # --- what is asked -----------------------------------------------------------------------

    def used(self) -> dict[str, Resources]:
        """Requests by node, of all pods that are bound to one; the caller's to change."""
        return {node: dict(amounts) for node, amounts in self._used.items()}

    def room(
        self, promised: Iterable[Demand], ours: Container[Key], growing: Iterable[str]
    ) -> Room:
        """What no pod takes, and nobody was promised.

        Args:
            promised: To jobs that have no pod yet.
            ours: The pods that are this operator's.
            growing: The resources that nodes are added for.
        """
        room = Room(
            self.nodes, self.used(), {name: self._by_others(name, ours) for name in growing}
        )
        for demand in promised:
            room.promise(demand)  # promised room is taken room
        for key in sorted(self.unbound):
            room.promise(self.unbound[key])
        return room

    def _by_others(self, resource: str, ours: Container[Key]) -> Decimal:
        """How much of a resource pods hold that are not ours."""
        theirs = (use.requests for key, use in self.usage.items() if key not in ours)
        return sum((requests.get(resource, _NONE) for requests in theirs), _NONE)
