"""What a real API server says of pods that it does not take, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from sihl_operator.endings import Ending, Verdict
from sihl_operator.pod import render_pod
from sihl_operator.refusals import refusal
from sihl_operator.settings import Settings
from sihl_operator.views import JobView
from tests.support.objects import SPEC, job
from tests.support.operators import Team, new_team
from tests.support.waiting import eventually


@pytest.fixture
def team(api: client.ApiClient) -> Iterator[Team]:
    with new_team(api, "refused") as team:
        yield team


def asking(team: Team, **runner: Any) -> JobView:
    """A job that a CRD let pass."""
    asks = job(runner={**SPEC["runner"], **runner})
    asks.raw["metadata"]["namespace"] = team.namespace
    vars(asks)["spec_fault"] = None
    return asks


def said_of(team: Team, asks: JobView) -> Ending | None:
    """What is made of the answer to a job's pod; None where it would be taken."""
    pod = render_pod(asks, 1, "cells", Settings())
    try:
        team.core.create_namespaced_pod(team.namespace, pod, dry_run="All")
    except ApiException as error:
        return refusal(asks, error.status, json.loads(error.body)["message"])
    return None


def quota(team: Team, **hard: str) -> None:
    body = {"metadata": {"name": "quota"}, "spec": {"hard": hard}}
    team.core.create_namespaced_resource_quota(team.namespace, body)


def limits(team: Team, **limit: Any) -> None:
    body = {"metadata": {"name": "limits"}, "spec": {"limits": [{"type": "Container", **limit}]}}
    team.core.create_namespaced_limit_range(team.namespace, body)


PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}


def deny(team: Team) -> None:
    """A policy of the namespace's, which its removal takes along for all that it matters."""
    admission, name = client.AdmissionregistrationV1Api(team.core.api_client), team.namespace
    denial = [{"expression": "false", "message": "rolled out by mistake"}]
    admission.create_validating_admission_policy(
        {"metadata": {"name": name},
         "spec": {"matchConstraints": {"resourceRules": [PODS]}, "validations": denial}}
    )  # fmt: skip
    there = of(team)
    admission.create_validating_admission_policy_binding(
        {"metadata": {"name": name},
         "spec": {"policyName": name, "validationActions": ["Deny"],
                  "matchResources": {"namespaceSelector": there}}}
    )  # fmt: skip


def of(team: Team) -> dict[str, Any]:
    return {"matchLabels": {"kubernetes.io/metadata.name": team.namespace}}


def change(team: Team, patch: str) -> None:
    """A policy that changes pods, as `deny`."""
    admission, name = client.AdmissionregistrationV1Api(team.core.api_client), team.namespace
    mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": f"[JSONPatch{{{patch}}}]"}}
    admission.create_mutating_admission_policy(
        {"metadata": {"name": name},
         "spec": {"matchConstraints": {"resourceRules": [PODS]}, "mutations": [mutation],
                  "failurePolicy": "Fail", "reinvocationPolicy": "Never"}}
    )  # fmt: skip
    admission.create_mutating_admission_policy_binding(
        {"metadata": {"name": name},
         "spec": {"policyName": name, "matchResources": {"namespaceSelector": of(team)}}}
    )  # fmt: skip


def lose_webhook(team: Team) -> None:
    """One that changes pods, and that nobody serves."""
    hook = {
        "name": "hook.example.org", "clientConfig": {"url": "https://127.0.0.1:1"},
        "rules": [PODS], "namespaceSelector": of(team), "admissionReviewVersions": ["v1"],
        "sideEffects": "None", "failurePolicy": "Fail", "timeoutSeconds": 1,
    }  # fmt: skip
    client.AdmissionregistrationV1Api(team.core.api_client).create_mutating_webhook_configuration(
        {"metadata": {"name": team.namespace}, "webhooks": [hook]}
    )


@pytest.mark.parametrize(
    ("obstacle", "runner", "reason"),
    [
        (lambda team: quota(team, **{"limits.cpu": "64"}), {}, "QuotaUnmet"),
        (lambda team: limits(team, max={"memory": "1Gi"}),
         {"resources": {"limits": {"memory": "2Gi"}}}, "LimitRangeUnmet"),
        (lambda team: limits(team, default={"memory": "512Mi"}), {}, "PodInvalid"),
        (deny, {}, "PodDenied"),
        (lambda team: change(team, 'op: "add", path: "/spec/dnsPolicy", value: "None-such"'), {},
         "PodInvalid"),
        (lambda team: change(team, 'op: "remove", path: "/spec/containers/7/image"'), {},
         "PodDenied"),
        (lose_webhook, {}, "WebhookUnavailable"),
        (lambda team: None, {"priorityClassName": "none-such"}, "PriorityClassMissing"),
        (lambda team: None, {"serviceAccountName": "none-such"}, "ServiceAccountMissing"),
    ],
    ids=["quota", "limit-range", "limit-range-defaults", "policy", "changed", "change-that-fails",
         "webhook", "priority", "account"],
)  # fmt: skip
def test_what_others_can_mend_is_told_from_the_servers_own_words_and_waited_for(
    team: Team, obstacle: Callable[[Team], None], runner: dict[str, Any], reason: str
) -> None:
    obstacle(team)
    asks = asking(team, **runner)
    eventually(lambda: said_of(team, asks) is not None, 60, 0.2)
    end = said_of(team, asks)
    assert end is not None
    assert (end.verdict, end.reason) == (Verdict.INTERRUPTED, reason), end.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nodeSelector", {"no label": "x"}),
        ("resources", {"requests": {"memory": "2048Mi"}, "limits": {"memory": "1Gi"}}),
        ("resources", {"limits": {"gpus": "1"}}),
    ],
)  # fmt: skip
def test_what_the_jobs_own_field_cannot_be_is_final_by_the_servers_own_words(
    team: Team, field: str, value: Any
) -> None:
    end = said_of(team, asking(team, **{field: value}))
    assert end is not None
    assert (end.verdict, end.reason) == (Verdict.FATAL, "PodRefused"), end.message
    assert f"spec.runner.{field}" in end.message
