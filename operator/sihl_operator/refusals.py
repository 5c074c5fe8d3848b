"""What it means that the API server does not take a pod. Pure.

Only what the job's own fields cannot be is final. Whatever a policy, a quota, a webhook or a
missing object says is waited for: people change these, and a mistake of theirs is no job's fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from sihl_api.units import quantity
from sihl_operator.endings import Ending, Verdict
from sihl_operator.views import JobView

QUOTA_EXCEEDED = "QuotaExceeded"
QUOTA_TOO_SMALL = "QuotaTooSmall"
_CLUSTER = "whoever runs the cluster"

_WAITED_FOR: tuple[tuple[str, str, str], ...] = (
    (r"exceeded quota", QUOTA_EXCEEDED,
     "The namespace's ResourceQuota has no room for the pod. Wait until others end, have it "
     "raised, or ask for less in spec.runner of a new job."),
    (r"failed quota|must specify|insufficient quota|status unknown for quota", "QuotaUnmet",
     "A ResourceQuota of the namespace does not admit such a pod. Who set the quota can add a "
     "LimitRange with defaults; or a new job names in spec.runner.resources what it asks for."),
    (r"(?:maximum|minimum) \S+ usage per |limit to request ratio per ", "LimitRangeUnmet",
     "A LimitRange of the namespace does not admit the pod. Who set it can change it; or a new "
     "job asks in spec.runner.resources for what it allows."),
    (r"no PriorityClass with name", "PriorityClassMissing",
     f"The pod's PriorityClass does not exist: {_CLUSTER} can create it, or a new job names "
     "another in spec.runner.priorityClassName."),
    (r"error looking up service account", "ServiceAccountMissing",
     "The pod's ServiceAccount does not exist: create it in the job's namespace, or name another "
     "in spec.runner.serviceAccountName of a new job."),
    (r"RuntimeClass \S+ not found", "RuntimeClassMissing",
     f"The pod's RuntimeClass does not exist: {_CLUSTER} can create it, or a new job names another "
     "in spec.runner.runtimeClassName."),
    (r"because it is being terminated", "NamespaceTerminating",
     "The job's namespace is being deleted, and the job with it."),
    (r"failed calling webhook|failed to call webhook", "WebhookUnavailable",
     f"A webhook that is asked about each pod does not answer: {_CLUSTER} can mend or remove it."),
    (r"violates PodSecurity", "PodDenied",
     "The namespace enforces a Pod Security Standard that the pod does not meet, as others "
     f"changed it: {_CLUSTER} can mend what changes it, or change the namespace's label."),
)  # fmt: skip
"""What the API server says, by which reason a job is told of it, and who can remove it."""

_TOO_LARGE = re.compile(
    r"etcdserver: request is too large|Request entity too large|trying to send message larger than"
)
_QUOTA = re.compile(r"exceeded quota: [^,]+, requested: (\S+), used: \S+, limited: (\S+)")
_LACKS = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<what>[\w/]+)"(?:.*?(?P<where> in the namespace "[^"]*"))?'
)
_DENIED = re.compile(
    r"denied (?:the )?request|denied one or more|admission webhook|AdmissionPolicy|is forbidden:"
)
_FAULT = re.compile(
    r"(?P<path>(?:spec|metadata)\.[^\s:,]+): (?:Invalid value|Required value|Unsupported value|"
    r"Duplicate value|Not found|Forbidden|Too long|Too many|Internal error)"
    r"(?:: (?P<rest>.*?))?(?=, (?:spec|metadata)\.|\]?$)",
    re.DOTALL,
)
_SAID = re.compile(r'^"([^"]*)"| limit of (\S+)')
_FIELDS = (
    (r"spec\.(nodeSelector|tolerations|affinity|serviceAccountName|priorityClassName|"
     r"runtimeClassName|schedulerName|imagePullSecrets|topologySpreadConstraints)\b", ""),
    (r"metadata\.(labels|annotations)\b", ""),
    (r"spec\.(?:initC|c)ontainers\[\d+\]\.(image|resources|env)\b", ""),
    (r"spec\.terminationGracePeriodSeconds\b", "stopGracePeriod"),
    (r"spec\.volumes\[0\]\.emptyDir\.sizeLimit\b", "datasetSize"),
)  # fmt: skip
"""By the pod's field, that of spec.runner from which it is made; empty: of the same name."""


def refusal(job: JobView, status: int, said: str) -> Ending:
    """What a definite no of the API server's means: final, or waited for.

    Args:
        job: Whose pod it is.
        status: Of the answer.
        said: The answer's message.
    """
    if job.spec_fault:
        return Ending(Verdict.FATAL, "PodRefused", f"No trainer takes the job: {job.spec_fault}")
    if (end := lacking(status, said)) is not None:
        return end
    if _TOO_LARGE.search(said):
        text = (
            "The pod is larger than the API server stores: name less in spec.runner's affinity, "
            "env, annotations and tolerations of a new job."
        )
        return Ending(Verdict.FATAL, "PodRefused", f"{text} {_quoted(said)}")
    if beyond := _beyond_the_quota(said):
        text = (
            f"The pod asks for more {', '.join(beyond)} than the namespace's whole ResourceQuota "
            "allows: it never fits, whatever ends. Have the quota raised, or ask for less in "
            "spec.runner of a new job."
        )
        return Ending(Verdict.INTERRUPTED, QUOTA_TOO_SMALL, f"{text} {_quoted(said)}")
    for pattern, reason, text in _WAITED_FOR:
        if re.search(pattern, said):
            return Ending(Verdict.INTERRUPTED, reason, f"{text} {_quoted(said)}")
    if status in (400, 422) and not _DENIED.search(said):
        return _invalid(job, status, said)
    text = (
        f"A policy or a webhook of the cluster denies the pod: {_CLUSTER} can lift it, or a new "
        "job leaves out what it names."
    )
    return Ending(Verdict.INTERRUPTED, "PodDenied", f"{text} {_quoted(said)}")


def definite(status: int, said: str) -> bool:
    """Whether an answer is a no: the pod is not there, and asking again at once helps nobody."""
    if 400 <= status < 500 and status not in (401, 404, 408, 409, 429):
        return True
    if _DENIED.search(said) or _TOO_LARGE.search(said):
        return True
    return any(re.search(each, said) for each, *_ in _WAITED_FOR)


def _beyond_the_quota(said: str) -> list[str]:
    """Of what a pod alone asks for more than a quota has in all; empty where others have it."""
    found = _QUOTA.search(said)
    if found is None:
        return []
    try:
        requested, limited = (_amounts(text) for text in found.groups())
    except ValueError:  # others may say something that looks alike
        return []
    return sorted(name for name, amount in requested.items() if amount > limited.get(name, amount))


def _amounts(listed: str) -> dict[str, Decimal]:
    """Quantities by resource, of `cpu=2,requests.nvidia.com/gpu=1`."""
    pairs = (each.split("=", 1) for each in listed.rstrip(".").split(",") if "=" in each)
    return {name: quantity(amount) for name, amount in pairs}


def lacking(status: int, said: str) -> Ending | None:
    """What the operator's own role does not let it do, if that is what an answer says."""
    found = _LACKS.search(said) if status == 403 else None
    if found is None:
        return None
    text = (
        f"The operator may not {found['verb']} {found['what']}{found['where'] or ''}: {_CLUSTER} "
        "can give it the role that its chart has. It tries again by itself."
    )
    return Ending(Verdict.INTERRUPTED, "OperatorForbidden", f"{text} {_quoted(said)}")


def _quoted(said: str) -> str:
    return f"The API server says: {said.rstrip('.')}."


def _invalid(job: JobView, status: int, said: str) -> Ending:
    """A pod that cannot be: final by the job's own fields, waited for where others made it so."""
    own = [_own_field(job, each["path"], each["rest"] or "") for each in _FAULT.finditer(said)]
    if all(own) and (own or status == 400):
        fields = ", ".join(sorted({f"spec.runner.{name}" for name in own})) or "spec.runner"
        text = f"No pod can be what {fields} says: correct it in a new job."
        return Ending(Verdict.FATAL, "PodRefused", f"{text} {_quoted(said)}")
    text = (
        "The pod is invalid by what the job does not say, such as a default of the operator or of "
        f"a LimitRange, or a webhook's change: {_CLUSTER} can mend it."
    )
    return Ending(Verdict.INTERRUPTED, "PodInvalid", f"{text} {_quoted(said)}")


def _own_field(job: JobView, path: str, rest: str) -> str | None:
    """The field of spec.runner that is at fault; None where the value is not the job's own."""
    for pattern, named in _FIELDS:
        if found := re.match(pattern, path):
            name = named or found.group(1)
            value = job.runner.get(name)
            place = re.match(rf"spec\.{name}\[(\d+)\]", path)
            if not value or (place and int(place.group(1)) >= len(value)):
                return None  # what admission has added
            said = [bad or limit for bad, limit in _SAID.findall(rest)]
            return name if all(_among(each, value) for each in said) else None
    return None


def _among(text: str, value: Any) -> bool:
    """Whether a text, or an equal amount, is somewhere in a value."""
    return any(text == each or _equal(text, each) for each in _leaves(value))


def _equal(text: str, other: str) -> bool:
    try:
        return quantity(text) == quantity(other)
    except ValueError:
        return False


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from value
        value = list(value.values())
    if not isinstance(value, list):
        yield str(value)
        return
    for inner in value:
        yield from _leaves(inner)
