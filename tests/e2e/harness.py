"""The real cluster as the tests use it: jobs submitted, watched, stopped; records read."""

from __future__ import annotations

import base64
import copy
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from demo.images import DOCKERFILES, source_digest
from local_cluster import Cluster
from local_cluster.process import run
from local_cluster.programs import program
from sihl_api.record import MANIFEST, Manifest, MetricLine, RecordPaths, checkpoint_of, to_read
from sihl_api.trainingjob import GROUP, PLURAL, VERSION
from tests.support.chart import packaged

ROOT = Path(__file__).parents[2]
SYSTEM = "sihl-system"
NAMESPACE = "e2e"
SLOW = "e2e-slow"
"""A namespace whose store is reached over a slow network."""
BARE = "e2e-bare"
"""A namespace without the Secret of a store."""
OTHERS = "e2e-others"
"""Another team's namespace, with keys of its own to the chart's store."""
DATASET_SECRET = "dataset"
ENDED = ("Succeeded", "Stopped", "Failed")
DEADLINE = 600.0

Job = dict[str, Any]
T = TypeVar("T")

SMALL: Job = {
    "model": {
        "backbone": {"name": "resnet18"},
        "heads": [{"name": "digit", "task": "MulticlassClassification"}],
    },
    "training": {
        "maxSteps": 30,
        "validations": 1,
        "batchSize": 8,
        "inputSize": {"width": 32, "height": 32},
    },
    "runner": {
        "gpus": 0,
        "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}, "limits": {"cpu": "1"}},
        "datasetSize": "100Mi",
        "stopGracePeriod": "2m",
        "checkpointInterval": "1h",
        "retries": 1,
    },
}


def merged(base: Job, change: Job) -> Job:
    """`base` with `change` laid over it, mapping by mapping."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        inner = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if inner else copy.deepcopy(value)
    return result


@dataclass
class Store:
    """The embedded store, as one namespace's identity sees it."""

    endpoint: str  # from this machine
    inside: str  # from a pod
    bucket: str
    access_key: str
    secret_key: str
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )

    def get(self, key: str) -> bytes:
        """An object's bytes."""
        data: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return data

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)

    def keys(self, prefix: str) -> list[str]:
        """All keys under a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix
        )
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def download(self, uri: str, folder: Path) -> Manifest:
        """A folder of the record by URI or prefix, its checksums held against its manifest."""
        import hashlib

        prefix = uri.removeprefix(f"s3://{self.bucket}/").rstrip("/") + "/"
        manifest = Manifest.model_validate_json(self.get(prefix + MANIFEST))
        folder.mkdir(parents=True, exist_ok=True)
        for name, entry in manifest.files.items():
            data = self.get(prefix + name)
            assert hashlib.sha256(data).hexdigest() == entry.sha256, f"{prefix}{name} is torn"
            (folder / name).write_bytes(data)
        return manifest


class Harness:
    """The cluster, the operator in it, and its users."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        api = config.new_client_from_config(str(cluster.kubeconfig))
        self.core = client.CoreV1Api(api)
        self.policy = client.PolicyV1Api(api)
        self.custom = client.CustomObjectsApi(api)
        self._store: dict[str, Store] = {}

    # --- the installation --------------------------------------------------------------------

    def install(self, slow_endpoint: Callable[[str], str]) -> None:
        """Images, chart, store, Secrets; `slow_endpoint` makes a slow road to an endpoint."""
        values: dict[str, Any] = {part: {} for part in DOCKERFILES}
        for part, dockerfile in DOCKERFILES.items():
            tag = f"sihl/{part}:e2e-{source_digest(part)}"
            reference = self.cluster.images.build(tag, ROOT / dockerfile, ROOT)
            repository, _, version = reference.rpartition(":")
            values[part]["image"] = {"repository": repository, "tag": version}
        values["operator"] |= {
            "settings": {
                "allowCpu": True,
                "startupProblemTimeout": "20s",
                "retryBackoff": "2s",
                "unavailableBackoff": "2s",
                "progressInterval": "2s",
                "positionInterval": "2s",
                "lostNodeTimeout": "5s",
            },
            "resources": {"requests": {"cpu": "20m", "memory": "128Mi"}},
        }
        values["dashboard"] |= {"resources": {"requests": {"cpu": "20m", "memory": "128Mi"}}}
        values["store"] = {
            "embedded": {
                "persistence": {"enabled": False},
                "nodeSelector": {"kubernetes.io/hostname": "node-1"},
                "resources": {"requests": {"cpu": "50m"}},
            }
        }
        values["namespaces"] = {
            NAMESPACE: {"create": True},
            OTHERS: {"create": True},
            SLOW: {"create": True, "store": {"existingSecret": True}},
            BARE: {"create": True, "store": {"existingSecret": True}},
        }
        file = self.cluster.state / "e2e-values.json"
        file.write_text(json.dumps(values))
        run(
            program("helm"), f"--kubeconfig={self.cluster.kubeconfig}", "upgrade", "--install",
            "sihl", packaged(), "-n", SYSTEM, "--create-namespace", "-f", file, "--wait",
            "--timeout", "10m", timeout=900,
        )  # fmt: skip
        store = self.store
        for namespace in (NAMESPACE, SLOW, BARE):
            self.secret(namespace, DATASET_SECRET, store.access_key, store.secret_key)
        self.store_secret(SLOW, slow_endpoint(store.endpoint), "slow")

    @property
    def store(self) -> Store:
        """The store as the tests' namespace sees it."""
        return self.store_of(NAMESPACE)

    def store_of(self, namespace: str, anew: bool = False) -> Store:
        """The store as a namespace with keys of its own sees it; anew: they may be others now."""
        if anew or namespace not in self._store:
            secret = self.core.read_namespaced_secret("sihl-store", namespace).data
            data = {key: base64.b64decode(value).decode() for key, value in secret.items()}
            service = self.core.read_namespaced_service("sihl-store", SYSTEM)
            port = data["endpoint"].rstrip("/").rsplit(":", 1)[1]
            self._store[namespace] = Store(
                f"http://{service.spec.cluster_ip}:{port}", data["endpoint"], data["bucket"],
                data["accessKeyId"], data["secretAccessKey"],
            )  # fmt: skip
        return self._store[namespace]

    def forget_stores(self) -> None:
        """Read the stores' Secrets again: the chart was installed anew."""
        self._store.clear()

    def secret(self, namespace: str, name: str, access_key: str, secret_key: str) -> None:
        """A Secret with a dataset's credentials."""
        data = {"accessKeyId": access_key, "secretAccessKey": secret_key}
        body = {"metadata": {"name": name}, "stringData": data}
        self.core.create_namespaced_secret(namespace, body)

    def store_secret(self, namespace: str, endpoint: str, prefix: str) -> None:
        """What gives a namespace's jobs a place for their records: the tests' own bucket."""
        data = {
            "endpoint": endpoint,
            "bucket": self.store.bucket,
            "prefix": prefix,
            "accessKeyId": self.store.access_key,
            "secretAccessKey": self.store.secret_key,
        }
        body = {"metadata": {"name": "sihl-store"}, "stringData": data}
        self.core.create_namespaced_secret(namespace, body)

    # --- jobs --------------------------------------------------------------------------------

    def location(self, prefix: str, **change: Any) -> Job:
        """A dataset's place in the store."""
        return {
            "endpoint": self.store.inside,
            "bucket": self.store.bucket,
            "prefix": prefix,
            "credentials": {"secretName": DATASET_SECRET},
            **change,
        }

    def submit(
        self,
        name: str,
        project: str,
        change: Job | None = None,
        namespace: str = NAMESPACE,
        dataset: str = "datasets/few",
    ) -> None:
        """Apply a job: a small one, with changes to its spec."""
        spec = merged(SMALL, change or {})
        spec.setdefault("dataset", {"train": self.location(dataset)})
        job = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "TrainingJob",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"project": project, **spec},
        }
        self.custom.create_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, job)

    def job(self, name: str, namespace: str = NAMESPACE) -> Job:
        """A job as it is now."""
        found: Job = self.custom.get_namespaced_custom_object(
            GROUP, VERSION, namespace, PLURAL, name
        )
        return found

    def status(self, name: str, namespace: str = NAMESPACE) -> Job:
        """A job's status, empty at first."""
        status: Job = self.job(name, namespace).get("status") or {}
        return status

    def suspend(self, name: str, value: bool = True, namespace: str = NAMESPACE) -> None:
        """What a user does with `kubectl patch`."""
        self.custom.patch_namespaced_custom_object(
            GROUP, VERSION, namespace, PLURAL, name, {"spec": {"suspend": value}}
        )

    def delete(self, name: str, namespace: str = NAMESPACE) -> None:
        """Delete a job."""
        self.custom.delete_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, name)

    def delete_all(self) -> None:
        """Delete all jobs, and wait until their pods are gone."""
        for namespace in (NAMESPACE, SLOW, BARE):
            self.custom.delete_collection_namespaced_custom_object(
                GROUP, VERSION, namespace, PLURAL
            )
            self.until(partial(self._empty, namespace), "no pod left", namespace=namespace)

    def _empty(self, namespace: str) -> bool:
        return not self.core.list_namespaced_pod(namespace).items

    def pod(self, project: str, namespace: str = NAMESPACE) -> Any:
        """The pod of a queue, or None."""
        try:
            return self.core.read_namespaced_pod(f"{project}-runner", namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    # --- waiting -----------------------------------------------------------------------------

    def until(
        self, check: Callable[[], T | None], what: str, job: str = "",
        namespace: str = NAMESPACE, seconds: float = DEADLINE,
    ) -> T:  # fmt: skip
        """What the check answers once it is true; fails with the job's whole story."""
        end = time.monotonic() + seconds
        while not (answer := check()):
            if time.monotonic() > end:
                raise AssertionError(
                    f"not within {seconds:.0f} s: {what}\n{self.story(job, namespace)}"
                )
            time.sleep(0.1)
        return answer

    def wait(
        self, name: str, *phases: str, namespace: str = NAMESPACE, seconds: float = DEADLINE
    ) -> Job:
        """The job's status once it is in one of the phases; any other end fails at once."""

        def check() -> Job | None:
            status = self.status(name, namespace)
            phase = status.get("phase")
            if phase in phases:
                return status
            if phase in ("Succeeded", "Failed"):
                raise AssertionError(f"{name} is {phase}\n{self.story(name, namespace)}")
            return None

        return self.until(check, f"{name} {' or '.join(phases)}", name, namespace, seconds)

    def wait_stage(
        self, name: str, project: str, *stages: str, step: int = 0, namespace: str = NAMESPACE
    ) -> None:
        """Return once the job's pod itself says that it is in one of the stages."""

        def check() -> bool:
            if self.status(name, namespace).get("phase") in ("Succeeded", "Failed"):
                raise AssertionError(f"{name} has ended\n{self.story(name, namespace)}")
            report = self.report(project, namespace)
            return bool(
                report
                and report.get("stage") in stages
                and (report.get("progress", {}).get("step") or 0) >= step
            )

        self.until(check, f"{name} in {stages} at step {step}", name, namespace)

    def report(self, project: str, namespace: str = NAMESPACE) -> Job | None:
        """What the queue's pod answers on /progress."""
        import http.client
        import urllib.request

        pod = self.pod(project, namespace)
        if pod is None or not pod.status.pod_ip:
            return None
        try:
            url = f"http://{pod.status.pod_ip}:9464/progress"
            with urllib.request.urlopen(url, timeout=2) as answer:
                found: Job = json.load(answer)
                return found
        except (OSError, ValueError, http.client.HTTPException):
            return None

    def log(self, project: str, namespace: str = NAMESPACE) -> str:
        """What the trainer in a queue's pod has printed."""
        return self.cluster.kubectl("logs", f"{project}-runner", "-n", namespace, "-c", "trainer")

    def condition(self, name: str, kind: str, namespace: str = NAMESPACE) -> Job:
        """A condition of a job; empty where it has none of that type."""
        conditions = self.status(name, namespace).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def story(self, name: str, namespace: str = NAMESPACE) -> str:
        """Everything that helps to see why a test failed."""
        parts = []
        for command in (
            ("get", PLURAL, "-n", namespace, "-o", "wide"),
            ("get", "pods", "-n", namespace, "-o", "wide"),
            ("get", PLURAL, name, "-n", namespace, "-o", "jsonpath={.status}"),
            ("logs", "-n", namespace, "-l", f"sihl.ai/job={name}", "--all-containers", "--tail=30"),
            ("logs", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator", "--tail=25"),
            ("get", "events", "-n", namespace),
        ):
            try:
                parts.append("\n".join(self.cluster.kubectl(*command).splitlines()[-40:]))
            except Exception as error:
                parts.append(str(error)[-500:])
        return "\n---\n".join(parts)

    # --- what must hold at every end ---------------------------------------------------------

    def dataset_folders(self, pod_uid: str) -> list[Path]:
        """What is left of a pod's dataset on any node."""
        return [
            folder
            for node in self.cluster.nodes
            if (
                folder := node.kubelet_root
                / f"pods/{pod_uid}/volumes/kubernetes.io~empty-dir/dataset"
            ).exists()
        ]

    def has_dataset(self, pod_uid: str) -> None:
        """Return once the pod's dataset lies on a node: that it is gone says nothing before."""
        self.until(lambda: self.dataset_folders(pod_uid), f"a dataset of the pod {pod_uid}")

    def latest_checkpoint(self, prefix: str, folder: Path) -> Manifest:
        """The last whole checkpoint below a part of a record, read back and checked."""
        manifests = [key for key in self.store.keys(prefix) if key.endswith(f"/{MANIFEST}")]
        found = {of: key for key in manifests if (of := checkpoint_of(key))}
        assert found, f"no whole checkpoint in {prefix}"
        return self.store.download(found[max(found)].removesuffix(MANIFEST), folder)

    def checkpoint_holds(self, status: Job, folder: Path) -> Manifest:
        """The status's checkpoint, read back and checked."""
        manifest = self.store.download(status["checkpoint"]["uri"], folder)
        assert manifest.step == status["checkpoint"]["step"]
        return manifest

    def record(self, name: str, namespace: str = NAMESPACE, prefix: str = "") -> RecordPaths:
        """Where a job's record lies."""
        job = self.job(name, namespace)
        uid = job["metadata"]["uid"]
        return RecordPaths(prefix, namespace, job["spec"]["project"], name, uid)

    def recorded_log(self, record: RecordPaths, attempt: int) -> str:
        """What an attempt's record has of its log."""
        return self._segments(f"{record.attempt(attempt)}log-")

    def recorded_metrics(self, record: RecordPaths, attempt: int) -> list[MetricLine]:
        """What an attempt's record has of its metrics."""
        lines = self._segments(f"{record.attempt(attempt)}metrics-").splitlines()
        return [MetricLine.model_validate_json(line) for line in lines]

    def _segments(self, prefix: str) -> str:
        while True:
            try:
                return b"".join(map(self.store.get, to_read(self.store.keys(prefix)))).decode()
            except self.store.client.exceptions.NoSuchKey:
                continue  # merged since they were listed


class PodHistory:
    """Every state of every runner pod of a namespace, from a watch."""

    def __init__(self, core: client.CoreV1Api, namespace: str) -> None:
        self.states: list[tuple[str, str, str, bool]] = []  # uid, queue, job, occupies
        self._watch = watch.Watch()
        self._over = self._broken = False
        self._thread = threading.Thread(target=self._run, args=(core, namespace), daemon=True)
        self._thread.start()

    def _run(self, core: client.CoreV1Api, namespace: str) -> None:
        try:
            self._follow(core, namespace)
        except Exception:  # after the test's end the API server itself may go
            self._broken = not self._over

    def _follow(self, core: client.CoreV1Api, namespace: str) -> None:
        events = self._watch.stream(
            core.list_namespaced_pod, namespace, label_selector="sihl.ai/job-uid"
        )
        for event in events:
            pod = event["object"]
            over = event["type"] == "DELETED" or pod.status.phase in ("Succeeded", "Failed")
            labels = pod.metadata.labels
            self.states.append(
                (pod.metadata.uid, labels["sihl.ai/queue"], labels["sihl.ai/job"], not over)
            )

    def stop(self) -> None:
        """End the watch; it must have seen everything until now."""
        assert not self._broken, "the history of pods has a gap"
        self._over = True
        self._watch.stop()

    def most_at_once(self) -> dict[str, int]:
        """The largest number of occupied pods that each queue ever had."""
        active: dict[str, set[str]] = {}
        most: dict[str, int] = {}
        for uid, queue, _, occupies in list(self.states):
            pods = active.setdefault(queue, set())
            (pods.add if occupies else pods.discard)(uid)
            most[queue] = max(most.get(queue, 0), len(pods))
        return most
