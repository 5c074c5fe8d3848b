"""What the whole run left behind: the API server's own log, and all that people can read."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from local_cluster.process import run
from local_cluster.programs import program
from tests.e2e.harness import BARE, NAMESPACE, SLOW, SYSTEM, Harness
from tests.e2e.witness import OPERATOR, Witness, Write, entries, writes

HERE = Path(__file__).parent
RARE = {
    ("trainingjobs", "get"), ("pods", "get"),  # asked only after a conflict
    ("trainingjobs", "delete"),  # of who says ttlAfterFinished
    ("events", "list"),  # of a pod that does not say itself what is in its way
}  # fmt: skip
_LARGEST = 1 << 20
_NEAR = 200  # revisions: the writes of a test, with those of the cluster's own


def granted(harness: Harness, part: str) -> set[tuple[str, str]]:
    """(resource, verb) that the chart gives one of its parts."""
    text = run(program("helm"), f"--kubeconfig={harness.cluster.kubeconfig}", "get", "manifest",
               "sihl", "-n", SYSTEM)  # fmt: skip
    rules = [
        rule
        for document in yaml.safe_load_all(text)
        if document
        and document["kind"] in ("Role", "ClusterRole")
        and document["metadata"]["name"].startswith(f"sihl-{part}")
        for rule in document["rules"]
    ]
    return {(name, verb) for rule in rules for name in rule["resources"] for verb in rule["verbs"]}


def story(written: list[Write], broken: str) -> str:
    """What was written before an invariant was broken, and a little after."""
    revision = int(broken.split()[1].rstrip(":"))
    near = [each for each in written if abs(each.revision - revision) < _NEAR]
    return "\n".join(map(str, near))


def test_no_write_of_the_whole_run_broke_an_invariant(harness: Harness) -> None:
    witness, kinds = Witness(), set()
    written = writes(entries(harness.cluster.control_plane.audit_log))
    for write in written:
        witness.see(write)
        kinds.add((write.kind, write.user == OPERATOR, write.gone))
    assert witness.broken == [], story(written, witness.broken[0])
    seen = {("Pod", True, False), ("Pod", False, False), ("Pod", False, True)}
    assert kinds >= seen | {("TrainingJob", True, False), ("TrainingJob", False, False)}


@pytest.mark.parametrize("part", ["operator", "dashboard", "store"])
def test_each_part_asked_for_nothing_that_it_was_not_given_and_used_what_it_was(
    harness: Harness, request: pytest.FixtureRequest, part: str
) -> None:
    account = f"system:serviceaccount:{SYSTEM}:sihl-{part}"
    used: set[tuple[str, str]] = set()
    refused: set[tuple[str, str]] = set()
    for entry in entries(harness.cluster.control_plane.audit_log):
        target = entry.get("objectRef")
        if entry["user"]["username"] != account or target is None:
            continue
        parts = (target["resource"], target.get("subresource"))
        asked = ("/".join(part for part in parts if part), entry["verb"])
        if entry["responseStatus"]["code"] == 403:
            refused.add(asked)
        else:
            used.add(asked)
    rights = granted(harness, part)
    assert refused <= rights, "an API server that has just started refuses everything"
    assert used <= rights
    whole_run = {item.path for item in request.session.items} >= set(HERE.glob("test_*.py"))
    if whole_run:
        assert rights - used <= RARE


def test_no_secrets_value_is_in_any_log_event_object_or_record(harness: Harness) -> None:
    found = {
        base64.b64decode(data["secretAccessKey"])
        for namespace in (NAMESPACE, SLOW, BARE, SYSTEM)
        for secret in harness.core.list_namespaced_secret(namespace).items
        if "secretAccessKey" in (data := secret.data or {})
    }
    stores = harness.core.read_namespaced_secret("sihl-dashboard-stores", SYSTEM).data
    found |= {
        store["secretAccessKey"].encode()
        for store in json.loads(base64.b64decode(stores["stores.json"])).values()
    }
    secrets = {secret for secret in found if len(secret) >= 16}  # the tests' wrong ones are words
    assert secrets
    for where, data in _readable(harness):
        for secret in secrets:
            assert secret not in data, f"a secret access key is in {where}"


def _readable(harness: Harness) -> Iterator[tuple[str, bytes]]:
    kubectl = harness.cluster.kubectl
    for kind in ("trainingjobs", "events", "pods"):
        yield kind, kubectl("get", kind, "--all-namespaces", "-o", "json").encode()
    pods = harness.core.list_pod_for_all_namespaces(label_selector="app.kubernetes.io/part-of=sihl")
    for pod in pods.items:
        name, namespace = pod.metadata.name, pod.metadata.namespace
        yield (
            f"the log of {name}",
            kubectl("logs", name, "-n", namespace, "--all-containers", "--tail=-1").encode(),
        )
    store = harness.store
    for key in store.keys(""):
        if not key.endswith((".safetensors", ".png", ".jpg")):
            yield key, store.get(key)[:_LARGEST]
