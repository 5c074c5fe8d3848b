"""Which nodes a job's pod may run on: what its user asks for, what its image needs, what is usual.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sihl_operator.given import ARCHITECTURES
from sihl_operator.settings import Settings
from sihl_operator.views import JobView

_OS, _ARCHITECTURE = "kubernetes.io/os", "kubernetes.io/arch"
_OTHER_SYSTEMS = ["windows"]
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def placement(job: JobView, settings: Settings) -> dict[str, Any]:
    """The fields nodeSelector, tolerations and affinity of the job's pod, as far as it has them."""
    selector = {**settings.default_node_selector, **(job.runner.get("nodeSelector") or {})}
    given = job.runner.get("affinity")
    found = {
        "nodeSelector": selector,
        "tolerations": _tolerations(job, settings),
        "affinity": _with_all(given, _image_needs(selector, given, settings)),
    }
    return {name: value for name, value in found.items() if value}


def _tolerations(job: JobView, settings: Settings) -> list[Mapping[str, Any]]:
    """The accelerator's own taint keeps away who does not ask for it: a job that does is meant."""
    own = [{"key": settings.gpu_resource, "operator": "Exists"}] if job.gpus else []
    given = list(job.runner.get("tolerations") or ())
    return given + [each for each in (*settings.default_tolerations, *own) if each not in given]


def _image_needs(
    selector: Mapping[str, str], affinity: Any, settings: Settings
) -> list[dict[str, Any]]:
    """Linux, and an architecture that the image has, unless the job says which it wants.

    Told by what a node must not call itself: one that says nothing may be right.
    """
    needs = [{"key": _OS, "operator": "NotIn", "values": _OTHER_SYSTEMS}]
    if _ARCHITECTURE not in selector and _ARCHITECTURE not in str(affinity):
        others = [each for each in ARCHITECTURES if each not in settings.runner_architectures]
        needs.append({"key": _ARCHITECTURE, "operator": "NotIn", "values": others})
    return needs


def _with_all(affinity: Any, needs: list[dict[str, Any]]) -> Any:
    """An affinity whose every term asks for all this too: of several terms one is enough."""
    try:
        node = dict((affinity or {}).get("nodeAffinity") or {})
        required = dict(node.get(_REQUIRED) or {})
        terms = [_with_needs(term, needs) for term in required.get("nodeSelectorTerms") or ()]
        required["nodeSelectorTerms"] = terms or [{"matchExpressions": needs}]
        return {**(affinity or {}), "nodeAffinity": {**node, _REQUIRED: required}}
    except (AttributeError, TypeError, ValueError):
        return affinity  # it means nothing: the API server refuses the pod, and says why


def _with_needs(term: Mapping[str, Any], needs: list[dict[str, Any]]) -> Mapping[str, Any]:
    expressions = term.get("matchExpressions") or []
    if not expressions and not term.get("matchFields"):
        return term  # one that asks for nothing matches no node
    return {**term, "matchExpressions": [*expressions, *needs]}
