"""The cluster as it is now: jobs in their queues, and GPUs by node. Values in, values out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from sihl_dashboard.cli.jobs import Job, in_queues
from sihl_dashboard.records import JobRef
from sihl_dashboard.server.live import Live

Document = dict[str, Any]


class Cluster:
    """What was seen last of jobs, nodes and the GPUs that pods ask for.

    Args:
        accelerator: The name of the resource that is a GPU.

    Attributes:
        on_job: Told each job that has changed.
    """

    def __init__(self, accelerator: str = "nvidia.com/gpu") -> None:
        self._accelerator = accelerator
        self._jobs: dict[str, Live] = {}
        self._folders: dict[tuple[str, str, str], str] = {}
        self._by_namespace: dict[str, set[str]] = {}
        self._nodes: dict[str, Document] = {}
        self._pods: dict[str, tuple[str, int]] = {}
        self._changes = 0
        self._key = secrets.token_bytes(16)
        self.on_job: Callable[[Live], None] = lambda _: None
        self._troubles: dict[str, str] = {}
        self.listed: set[str] = set()

    @property
    def version(self) -> str:
        """What changes with anything here, and tells nothing of how much does."""
        return blake2b(str(self._changes).encode(), digest_size=8, key=self._key).hexdigest()

    @property
    def trouble(self) -> str | None:
        """Why this may be old; None if it is not."""
        return "; ".join(sorted(set(self._troubles.values()))) or None

    def trouble_with(self, key: str, what: str | None) -> None:
        """Why a part of this may be old; None if it is not."""
        if self._troubles.get(key) != what:
            self._changes += 1
            self._troubles.pop(key, None)
            if what is not None:
                self._troubles[key] = what

    @property
    def is_listed(self) -> bool:
        """Whether the jobs were."""
        return "job" in self.listed

    # --- seen ----------------------------------------------------------------------------------

    def see(self, kind: str, what: str, raw: Document) -> None:
        """Take in an event of a watch: "job", "node" or "pod", ADDED, MODIFIED or DELETED."""
        metadata = raw.get("metadata") or {}
        is_gone = what == "DELETED"
        match kind:
            case "job":
                self._see_job(raw, metadata, is_gone)
            case "node":
                self._see_node(raw, str(metadata.get("name", "")), is_gone)
            case "pod":
                self._see_pod(raw, str(metadata.get("uid", "")), is_gone)

    def replace(self, kind: str, raws: Iterable[Document], namespace: str = "") -> None:
        """Take in a listing, of jobs perhaps one namespace's: what it lacks is gone."""
        self.listed.add(kind)
        found = list(raws)
        key = "name" if kind == "node" else "uid"
        there = {str((raw.get("metadata") or {}).get(key, "")) for raw in found}
        kinds: dict[str, dict[str, Any]] = {
            "job": self._jobs, "node": self._nodes, "pod": self._pods
        }  # fmt: skip
        known = kinds[kind]
        if kind == "job" and namespace:
            known = {live.job.uid: live for live in self.jobs_of(namespace)}
        for name in [name for name in known if name not in there]:
            if kind == "job":
                self._forget(name)
            else:
                del known[name]
            self._changes += 1
        for raw in found:
            self.see(kind, "ADDED", raw)

    def _see_job(self, raw: Document, metadata: Document, is_gone: bool) -> None:
        uid = str(metadata.get("uid", ""))
        version = str(metadata.get("resourceVersion", ""))
        known = self._jobs.get(uid)
        if not is_gone and known is not None and known.version == version:
            return
        self._changes += 1
        self._forget(uid)
        if is_gone:
            return
        kept = {name: value for name, value in metadata.items() if name != "managedFields"}
        live = Live(Job({**raw, "metadata": kept}), version)
        self._jobs[uid] = live
        self._folders[live.namespace, live.project, live.folder] = uid
        self._by_namespace.setdefault(live.namespace, set()).add(uid)
        self.on_job(live)

    def _forget(self, uid: str) -> None:
        known = self._jobs.pop(uid, None)
        if known is not None:
            self._folders.pop((known.namespace, known.project, known.folder), None)
            self._by_namespace.get(known.namespace, set()).discard(uid)

    def _see_node(self, raw: Document, name: str, is_gone: bool) -> None:
        found = None
        if not is_gone:
            status = raw.get("status") or {}
            conditions = status.get("conditions") or []
            is_ready = any(
                each.get("type") == "Ready" and each.get("status") == "True" for each in conditions
            )
            cordoned = bool((raw.get("spec") or {}).get("unschedulable"))
            found = {
                "name": name,
                "ready": is_ready and not cordoned,
                "allocatable": _count((status.get("allocatable") or {}).get(self._accelerator)),
            }
        if found != self._nodes.get(name):
            self._changes += 1
            self._nodes.pop(name, None)
            if found is not None:
                self._nodes[name] = found

    def _see_pod(self, raw: Document, uid: str, is_gone: bool) -> None:
        found = None if is_gone else gpus_of(raw, self._accelerator)
        if found != self._pods.get(uid):
            self._changes += 1
            self._pods.pop(uid, None)
            if found is not None:
                self._pods[uid] = found

    # --- told ----------------------------------------------------------------------------------

    def jobs(self) -> list[Live]:
        """All."""
        return list(self._jobs.values())

    def jobs_of(self, namespace: str) -> list[Live]:
        """A namespace's."""
        return [self._jobs[uid] for uid in self._by_namespace.get(namespace, ())]

    def live_of(self, ref: JobRef) -> Live | None:
        """The one that has this record; None if the API server has it no more."""
        uid = self._folders.get((ref.namespace, ref.project, ref.folder))
        return self._jobs[uid] if uid else None

    def in_order(self, namespace: str) -> list[Live]:
        """Who holds the queues and who waits in which order, then the rest, the latest first."""
        lives = {live.job.uid: live for live in self.jobs_of(namespace)}
        standing = [job.uid for job, _ in in_queues(live.job for live in lives.values())]
        rest = sorted(
            (live for uid, live in lives.items() if uid not in set(standing)),
            key=lambda live: (live.job.created, live.name),
            reverse=True,
        )
        return [*(lives[uid] for uid in standing), *rest]

    def nodes(self) -> list[Document]:
        """Nodes with their GPUs; those without any come last."""
        used: dict[str, int] = {}
        for node, gpus in self._pods.values():
            used[node] = used.get(node, 0) + gpus
        found = [
            {
                "name": node["name"],
                "ready": node["ready"],
                "gpus": {"allocatable": node["allocatable"], "used": used.get(node["name"], 0)},
            }
            for node in self._nodes.values()
        ]
        return sorted(found, key=lambda each: (not each["gpus"]["allocatable"], each["name"]))


def gpus_of(pod: Document, accelerator: str) -> tuple[str, int] | None:
    """The node of a pod and the GPUs that it asks for; None if it holds none."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    node = spec.get("nodeName")
    if not node or status.get("phase") in ("Succeeded", "Failed"):
        return None

    def asked(containers: Iterable[Document]) -> list[int]:
        resources = [each.get("resources") or {} for each in containers]
        return [
            _count({**(r.get("limits") or {}), **(r.get("requests") or {})}.get(accelerator))
            for r in resources
        ]

    first = asked(spec.get("initContainers") or [])
    gpus = max(sum(asked(spec.get("containers") or [])), max(first, default=0))
    return (str(node), gpus) if gpus else None


def _count(value: Any) -> int:
    try:
        return max(int(str(value)), 0)
    except ValueError:
        return 0
