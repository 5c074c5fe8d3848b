"""What an API server's no means: its own words, as Kubernetes 1.32 to 1.34 have them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_operator.endings import Verdict
from sihl_operator.moment import Moment
from sihl_operator.refusals import definite, refusal
from sihl_operator.settings import Settings
from sihl_operator.starts import refused_by_api
from sihl_operator.views import JobView
from tests.support.objects import NOW, SPEC, job

FORBIDDEN = 'pods "cells-runner" is forbidden: '
INVALID = 'Pod "cells-runner" is invalid: '
DENIED = "denied request: rolled out by mistake"


def asking(**runner: Any) -> JobView:
    """A job that a CRD let pass: what these rules are for is what no schema foresaw."""
    asks = job(runner={**SPEC["runner"], **runner})
    vars(asks)["judged"] = (None, ())
    return asks


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (403, FORBIDDEN + "exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: "
         "requests.nvidia.com/gpu=8, limited: requests.nvidia.com/gpu=8", "QuotaExceeded"),
        (403, FORBIDDEN + "exceeded quota: gpus, requested: requests.nvidia.com/gpu=8, used: "
         "requests.nvidia.com/gpu=0, limited: requests.nvidia.com/gpu=4", "QuotaTooSmall"),
        (403, FORBIDDEN + "exceeded quota: q, requested: cpu=100m,memory=2Gi, used: cpu=0,memory=0,"
         " limited: cpu=1,memory=1Gi", "QuotaTooSmall"),
        (403, FORBIDDEN + "exceeded quota: q, requested: cpu=1,memory=1024Mi, used: cpu=1,memory=0,"
         " limited: cpu=1,memory=1Gi", "QuotaExceeded"),
        (403, FORBIDDEN + "failed quota: compute: must specify limits.cpu for: trainer; "
         "limits.memory for: trainer", "QuotaUnmet"),
        (403, FORBIDDEN + "status unknown for quota: compute, resources: limits.cpu", "QuotaUnmet"),
        (403, FORBIDDEN + "insufficient quota to match these scopes: [{PriorityClass In [high]}]",
         "QuotaUnmet"),
        (403, FORBIDDEN + "[maximum cpu usage per Container is 1, but limit is 2, maximum memory "
         "usage per Pod is 1Gi, but limit is 2Gi]", "LimitRangeUnmet"),
        (403, FORBIDDEN + "minimum memory usage per Container is 4Gi, but request is 2Gi",
         "LimitRangeUnmet"),
        (403, FORBIDDEN + "memory max limit to request ratio per Container is 2, but provided "
         "ratio is 4.000000", "LimitRangeUnmet"),
        (403, FORBIDDEN + "no PriorityClass with name batch was found", "PriorityClassMissing"),
        (403, FORBIDDEN + 'error looking up service account team/train: serviceaccount "train" '
         "not found", "ServiceAccountMissing"),
        (403, FORBIDDEN + 'pod rejected: RuntimeClass "nvidia" not found', "RuntimeClassMissing"),
        (403, FORBIDDEN + "unable to create new content in namespace team because it is being "
         "terminated", "NamespaceTerminating"),
        (403, 'pods is forbidden: User "system:serviceaccount:sihl:sihl-operator" cannot create '
         'resource "pods" in API group "" in the namespace "team"', "OperatorForbidden"),
        (403, FORBIDDEN + 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != '
         'false (container "vault-agent" must set ...)', "PodDenied"),
        (403, FORBIDDEN + "pod node label selector conflicts with its namespace node label "
         "selector", "PodDenied"),
        (403, FORBIDDEN + f"ValidatingAdmissionPolicy 'p' with binding 'p' {DENIED}", "PodDenied"),
        (422, f'pods "cells-runner" is forbidden: ValidatingAdmissionPolicy \'p\' {DENIED}',
         "PodDenied"),
        (422, f'admission webhook "validation.gatekeeper.sh" {DENIED}', "PodDenied"),
        (400, 'admission webhook "check.example.com" denied the request: no team label',
         "PodDenied"),
        *(
            (status, 'admission webhook "check.example.com" denied the request: x', "PodDenied")
            for status in (404, 408, 409, 429, 500, 503)
        ),
        (500, 'Internal error occurred: failed calling webhook "mutate.example.com": failed to '
         'call webhook: Post "https://m.svc/": context deadline exceeded', "WebhookUnavailable"),
        (403, "anything at all", "PodDenied"),
        (422, INVALID + 'spec.containers[0].resources.requests: Invalid value: "2Gi": must be less '
         "than or equal to memory limit of 512Mi", "PodInvalid"),
        (422, INVALID + 'spec.tolerations[0].operator: Invalid value: "Equals": no such operator',
         "PodInvalid"),
    ],
)  # fmt: skip
def test_what_others_can_mend_is_waited_for_and_the_message_says_who(
    status: int, said: str, reason: str
) -> None:
    end = refusal(job(), status, said)
    assert (end.verdict, end.reason) == (Verdict.INTERRUPTED, reason)
    assert said.rstrip(".") in end.message
    assert end.message.index("The API server says") > 40, "first what it means and who can mend it"
    assert definite(status, said)


@pytest.mark.parametrize(
    ("limit", "attempts", "pause"), [(8, 50, 30), (4, 1, 60), (4, 3, 240), (4, 50, 1800)]
)
def test_a_full_quota_is_tried_as_often_as_ever_and_one_that_is_too_small_less_and_less_often(
    limit: int, attempts: int, pause: int
) -> None:
    said = (
        FORBIDDEN + "exceeded quota: gpus, requested: requests.nvidia.com/gpu=8, used: "
        f"requests.nvidia.com/gpu=1, limited: requests.nvidia.com/gpu={limit}"
    )
    end = refusal(job(), 403, said)
    met = {"reason": end.reason, "since": "2027-01-15T07:00:00Z", "attempts": attempts}
    waits = job(phase="Starting", status={"obstacle": met})
    assert refused_by_api(waits, end, Moment(NOW, Settings())).after == pause
    assert ("requests.nvidia.com/gpu than" in end.message) == (limit < 8)


def test_what_only_looks_like_a_quota_is_full_for_all_that_is_known() -> None:
    said = FORBIDDEN + "exceeded quota: q, requested: a=much, used: b, limited: a=little"
    assert refusal(job(), 403, said).reason == "QuotaExceeded"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, "etcdserver: request is too large"),
        (413, "Request entity too large: limit is 3145728"),
        (500, "rpc error: code = ResourceExhausted desc = trying to send message larger than max "
         "(2200000 vs. 2097152)"),
    ],
)  # fmt: skip
def test_a_pod_that_is_too_large_to_be_stored_is_final_and_names_what_makes_it_so(
    status: int, said: str
) -> None:
    end = refusal(job(), status, said)
    assert (end.verdict, end.reason) == (Verdict.FATAL, "PodRefused")
    assert "spec.runner's affinity" in end.message
    assert definite(status, said)


GREEDY = {"requests": {"memory": "4096Mi"}, "limits": {"memory": "1Gi"}}


@pytest.mark.parametrize(
    ("runner", "fault", "field"),
    [
        ({"tolerations": [{"key": "a", "operator": "Equals"}]},
         'spec.tolerations[0].operator: Unsupported value: "Equals": supported values: "Equal"',
         "tolerations"),
        ({"nodeSelector": {"a b": "c"}},
         'spec.nodeSelector: Invalid value: "a b": name part must consist of alphanumeric '
         "characters (e.g. 'MyName',  or 'my.name')", "nodeSelector"),
        ({"affinity": {"nodeAffinity": {"x": [{"operator": "Equals", "values": ["h100"]}]}}},
         'spec.affinity.nodeAffinity.x[0].operator: Invalid value: "Equals": not a valid selector '
         "operator", "affinity"),
        ({"image": " trainer"},
         'spec.initContainers[0].image: Invalid value: " trainer": must not have leading or '
         "trailing whitespace", "image"),
        ({"resources": GREEDY},
         'spec.containers[0].resources.requests: Invalid value: "4Gi": must be less than or equal '
         "to memory limit of 1Gi", "resources"),
        ({"resources": {"limits": {"gpus": "1"}}},
         'spec.containers[0].resources.limits[gpus]: Invalid value: "gpus": must be a standard '
         "resource type or fully qualified", "resources"),
        ({"priorityClassName": "Batch"},
         'spec.priorityClassName: Invalid value: "Batch": a lowercase RFC 1123 subdomain must '
         "consist of", "priorityClassName"),
    ],
)  # fmt: skip
def test_what_the_jobs_own_field_cannot_be_is_final_and_the_field_is_named(
    runner: dict[str, Any], fault: str, field: str
) -> None:
    end = refusal(asking(**runner), 422, INVALID + fault)
    assert end.verdict is Verdict.FATAL
    assert f"spec.runner.{field} " in end.message
    several = refusal(
        asking(**runner), 422, f"{INVALID}[{fault}, spec.hostPID: Forbidden: by a webhook]"
    )
    assert several.verdict is Verdict.INTERRUPTED, "the job is not all that is wrong"
    assert refusal(job(), 422, INVALID + fault).verdict is Verdict.INTERRUPTED, "it is another's"


@pytest.mark.parametrize(
    ("runner", "fault"),
    [
        ({"resources": {"requests": {"memory": "4Gi"}}},
         'spec.containers[0].resources.requests: Invalid value: "4Gi": must be less than or equal '
         "to memory limit of 512Mi"),
        ({"tolerations": [{"key": "a", "operator": "Exists"}]},
         'spec.tolerations[1].operator: Unsupported value: "Equals": supported values: "Equal"'),
        ({"nodeSelector": {"a": "b"}},
         'spec.nodeSelector: Invalid value: "added by a webhook": must consist of'),
    ],
)  # fmt: skip
def test_what_admission_added_to_a_field_of_the_job_is_not_its_fault(
    runner: dict[str, Any], fault: str
) -> None:
    end = refusal(asking(**runner), 422, INVALID + fault)
    assert (end.verdict, end.reason) == (Verdict.INTERRUPTED, "PodInvalid")


@given(status=st.sampled_from([400, 403, 405, 413, 422]), words=st.text())
def test_a_policy_can_say_what_it_likes_and_fails_no_job(status: int, words: str) -> None:
    said = f'admission webhook "check.example.com" denied the request: {words}'
    assert refusal(asking(image="x"), status, said).verdict is Verdict.INTERRUPTED


@pytest.mark.parametrize(
    ("status", "said"),
    [(0, "timed out"), (429, "the server has received too many requests"), (401, "Unauthorized"),
     (409, "Operation cannot be fulfilled on resourcequotas: the object has been modified"),
     (404, 'namespaces "team" not found'), (500, "etcdserver: request timed out"),
     (503, "apiserver is shutting down"),
     (504, "Timeout: request did not complete within requested timeout")],
)  # fmt: skip
def test_an_answer_that_is_none_is_not_taken_for_a_no(status: int, said: str) -> None:
    assert not definite(status, said)
