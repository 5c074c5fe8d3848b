"""Keys of the run records' store are rotated under a running job."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.harness import DATASET_SECRET, Harness, Job
from tests.support.proxy import proxied
from tests.support.s3 import serve

NAMESPACE = "e2e-rotation"
BUCKET = "runs"
RIGHTS = (f"Read:{BUCKET}", f"Write:{BUCKET}", f"List:{BUCKET}")
LONG: Job = {"training": {"maxSteps": 100_000, "validations": 1}}


def test_rotated_keys_are_told_taken_up_from_the_secret_and_nothing_is_lost(
    harness: Harness, tmp_path: Path
) -> None:
    gateway = harness.cluster.nodes[0].settings.address
    old, new = ("rotation-old", "old-secret"), ("rotation-new", "new-secret")
    with serve(tmp_path) as server, proxied(server.endpoint, gateway) as road:
        server.make_bucket(BUCKET)
        server.admit("runs", old, *RIGHTS)
        harness.core.create_namespace({"metadata": {"name": NAMESPACE}})
        store = harness.store
        harness.secret(NAMESPACE, DATASET_SECRET, store.access_key, store.secret_key)
        keys = {"endpoint": road.endpoint, "bucket": BUCKET, "accessKeyId": old[0],
                "secretAccessKey": old[1]}  # fmt: skip
        secret = {"metadata": {"name": "sihl-store"}, "stringData": keys}
        harness.core.create_namespaced_secret(NAMESPACE, secret)
        harness.submit("rotated", "rotated", LONG, NAMESPACE)
        harness.wait_stage("rotated", "rotated", "Training", step=2, namespace=NAMESPACE)

        server.admit("runs", new, *RIGHTS)
        until_told(harness, "False", "StoreAccessRefused")
        change = {"stringData": {"accessKeyId": new[0], "secretAccessKey": new[1]}}
        harness.core.patch_namespaced_secret("sihl-store", NAMESPACE, change)
        until_told(harness, "True", "Written")

        harness.suspend("rotated", namespace=NAMESPACE)
        status = harness.wait("rotated", "Stopped", namespace=NAMESPACE)
        assert status["checkpoint"]["step"] == status["progress"]["step"]
        events = harness.core.list_namespaced_event(NAMESPACE).items
        assert {"RecordNotWritable", "RecordWritable"} <= {event.reason for event in events}
        harness.core.delete_namespace(NAMESPACE)


def until_told(harness: Harness, value: str, reason: str) -> None:
    """Return once the job's condition says so."""

    def told() -> bool:
        found = harness.condition("rotated", "RecordWritable", NAMESPACE)
        return (found.get("status"), found.get("reason")) == (value, reason)

    harness.until(told, f"RecordWritable {value}, {reason}", "rotated", NAMESPACE)
