"""Jobs that cannot be: what the API server refuses, and whoever reads a job without one too."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Job = dict[str, Any]
Change = Callable[[Job], object]

GOOD: Job = {
    "apiVersion": "sihl.ai/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "job"},
    "spec": {
        "project": "cells",
        "dataset": {"train": {"endpoint": "https://s3.example.com", "bucket": "cells"}},
        "model": {
            "neck": {"name": "FPN", "levels": [3, 5]},
            "heads": [{"name": "boxes", "task": "ObjectDetection", "levels": [3, 5]}],
        },
    },
}


def changed(change: Change) -> Job:
    """A good job with a change."""
    job = copy.deepcopy(GOOD)
    change(job)
    return job


def training(**fields: Any) -> Change:
    """Other settings of training."""
    return lambda job: job["spec"].update(training=fields)


def scheduler(steps: int = 100, **fields: Any) -> Change:
    """Another schedule of the learning rate."""
    return training(maxSteps=steps, scheduler=fields)


def runner(**fields: Any) -> Change:
    """Another runner."""
    return lambda job: job["spec"].update(runner=fields)


def limits(gpus: int = 1, /, **fields: Any) -> Change:
    """Other limits of the runner's; `nvidia_com_gpu` is nvidia.com/gpu."""
    named = {
        name.replace("_com_", ".com/").replace("_", "-"): each for name, each in fields.items()
    }
    return runner(gpus=gpus, resources={"limits": named})


def requests(limits: Job | None = None, /, **fields: Any) -> Change:
    """Other requests of the runner's."""
    return runner(resources={"requests": fields, **({"limits": limits} if limits else {})})


def toleration(**fields: Any) -> Change:
    """One toleration."""
    return runner(tolerations=[fields])


def node(*terms: Job) -> Change:
    """Required node affinity."""
    required = {"nodeSelectorTerms": list(terms)}
    return runner(
        affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    )


def label(**fields: Any) -> Change:
    """Required node affinity of one expression."""
    return node({"matchExpressions": [fields]})


def pod(**term: Any) -> Change:
    """Required pod anti-affinity of one term."""
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    return runner(affinity={"podAntiAffinity": required})


def head(**fields: Any) -> Change:
    """Another head."""
    return lambda job: job["spec"]["model"]["heads"][0].update(fields)


def model(**fields: Any) -> Change:
    """Other parts of the model."""
    return lambda job: job["spec"]["model"].update(fields)


def train(**fields: Any) -> Change:
    """Another place of the dataset."""
    return lambda job: job["spec"]["dataset"]["train"].update(fields)


def both(*changes: Change) -> Change:
    """One after the other."""
    return lambda job: [change(job) for change in changes]


def spread(*constraints: Job) -> Change:
    """How the pod is spread."""
    usual = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    return runner(
        topologySpreadConstraints=[
            {key: value for key, value in {**usual, "labelSelector": _APP, **each}.items() if value}
            for each in constraints
        ]
    )


def variables(**named: str) -> Change:
    """Variables of the pod."""
    return runner(env=[{"name": name, "value": value} for name, value in named.items()])


_APP = {"matchLabels": {"app": "x"}}
_IMAGE = "spec.runner.image"
_PREFIX = "spec.dataset.train.prefix"
_ENDPOINT = "spec.dataset.train.endpoint"
_CREDENTIALS = "spec.dataset.train.credentials"
_BUCKET = "spec.dataset.train.bucket"
_LIMITS = "spec.runner.resources.limits"
_REQUESTS = "spec.runner.resources.requests"
_SELECTOR = "spec.runner.nodeSelector"
_REQUIRED = (
    "spec.runner.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    ".nodeSelectorTerms"
)
_APART = "spec.runner.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]"
_TOLERATION = "spec.runner.tolerations[0]"
_SPREAD = "spec.runner.topologySpreadConstraints[0]"
_LABELS, _ANNOTATIONS = "spec.runner.labels", "spec.runner.annotations"
_ENV = "spec.runner.env[0]"
_SCHEDULER = "spec.training.scheduler"

INVALID: dict[str, tuple[Change, str]] = {
    "a batch that GPUs cannot share": (
        both(training(batchSize=3), runner(gpus=2)),
        "spec.training.batchSize",
    ),
    "a batch of a single value a channel": (
        training(batchSize=1, inputSize={"width": 32, "height": 32}),
        "spec.training.batchSize",
    ),
    "a job without a project": (lambda j: j["spec"].pop("project"), "spec.project"),
    "a project that is no name": (lambda j: j["spec"].update(project="My Cells"), "spec.project"),
    "a job without a dataset": (lambda j: j["spec"].pop("dataset"), "spec.dataset"),
    "an endpoint without a scheme": (train(endpoint="s3.example.com"), _ENDPOINT),
    "an endpoint with a port that none is": (train(endpoint="http://minio:99999"), _ENDPOINT),
    "an endpoint with port 0": (train(endpoint="http://minio:0"), _ENDPOINT),
    "an endpoint without a port's number": (train(endpoint="http://minio:"), _ENDPOINT),
    "an endpoint with a bucket": (train(endpoint="https://s3.example.com/cells"), _ENDPOINT),
    "an endpoint with keys": (train(endpoint="https://key:secret@s3.example.com"), _ENDPOINT),
    "an endpoint that is a bucket": (train(endpoint="s3://cells"), _ENDPOINT),
    "an endpoint whose host none can have": (train(endpoint="http://my_store:9000"), _ENDPOINT),
    "an endpoint at an address that none is": (train(endpoint="http://999.1.1.1"), _ENDPOINT),
    "an endpoint at three quarters of an address": (
        train(endpoint="http://10.0.1:9000"),
        _ENDPOINT,
    ),
    "an endpoint at a number": (train(endpoint="http://12345:9000"), _ENDPOINT),
    "an endpoint at an address of IPv6 that none is": (
        train(endpoint="http://[fd00::1::2]:9000"),
        _ENDPOINT,
    ),
    "a dataset without a bucket": (
        lambda j: j["spec"]["dataset"]["train"].pop("bucket"),
        _BUCKET,
    ),
    "a bucket with its folder": (train(bucket="cells/plates"), _BUCKET),
    "a bucket with its scheme": (train(bucket="s3://cells"), _BUCKET),
    "a bucket in upper case": (train(bucket="Cells"), _BUCKET),
    "a bucket that is an address": (train(bucket="10.0.0.1"), _BUCKET),
    "a bucket with two dots": (train(bucket="my..cells"), _BUCKET),
    "a prefix with its bucket": (train(prefix="s3://cells/plates"), _PREFIX),
    "a prefix that leads out": (train(prefix="plates/../other"), _PREFIX),
    "a prefix with an empty part": (train(prefix="plates//2026"), _PREFIX),
    "a prefix with a line break": (train(prefix="plates\n"), _PREFIX),
    "a prefix longer than a key": (train(prefix="ü" * 451), _PREFIX),
    "a region with spaces": (train(region="eu west 1"), "spec.dataset.train.region"),
    "a region as a URL": (train(region="https://eu-west-1"), "spec.dataset.train.region"),
    "a proxy at a port that none is": (
        train(proxy="http://proxy.example.org:70000"),
        "spec.dataset.train.proxy",
    ),
    "a certificate by its path": (
        train(certificateAuthority="/etc/ssl/ca.pem"),
        "spec.dataset.train.certificateAuthority",
    ),
    "a certificate that is cut off": (
        train(certificateAuthority="-----BEGIN CERTIFICATE-----\nMIIB"),
        "spec.dataset.train.certificateAuthority",
    ),
    "a certificate with its private key": (
        train(
            certificateAuthority="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
            "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
        ),
        "spec.dataset.train.certificateAuthority",
    ),
    "a Secret that none can be called": (
        train(credentials={"secretName": "Cells_Dataset"}),
        "spec.dataset.train.credentials.secretName",
    ),
    "a Secret of another namespace": (
        train(credentials={"secretName": "other/cells"}),
        "spec.dataset.train.credentials.secretName",
    ),
    "no credentials among credentials": (train(credentials={}), f"{_CREDENTIALS}:"),
    "a service account that is none": (
        train(credentials={"serviceAccount": False}),
        f"{_CREDENTIALS}:",
    ),
    "a Secret beside a service account": (
        train(credentials={"secretName": "keys", "serviceAccount": True}),
        f"{_CREDENTIALS}:",
    ),
    "a service account by its name": (
        train(credentials={"serviceAccount": "trainer"}),
        f"{_CREDENTIALS}.serviceAccount",
    ),
    "a role of a Secret": (
        train(credentials={"secretName": "keys", "roleArn": "arn:aws:iam::1:role/a"}),
        f"{_CREDENTIALS}:",
    ),
    "a role by its name": (
        train(credentials={"serviceAccount": True, "roleArn": "cells-reader"}),
        f"{_CREDENTIALS}.roleArn",
    ),
    "an audience of two words": (
        train(credentials={"serviceAccount": True, "audience": "a b"}),
        f"{_CREDENTIALS}.audience",
    ),
    "a lender that is none": (
        train(credentials={"serviceAccount": True, "stsEndpoint": "sts.example.com"}),
        f"{_CREDENTIALS}.stsEndpoint",
    ),
    "a validation fraction of one": (
        lambda j: j["spec"]["dataset"].update(validationFraction=1),
        "spec.dataset.validationFraction",
    ),
    "a misspelt field": (training(maxStep=5), "spec.training.maxStep"),
    "no head": (model(heads=[]), "spec.model.heads"),
    "two heads of one name": (
        lambda j: j["spec"]["model"]["heads"].append(copy.deepcopy(j["spec"]["model"]["heads"][0])),
        "spec.model.heads[1]",
    ),
    "a task that does not exist": (head(task="Juggling"), "spec.model.heads[0].task"),
    "a number of detections for a head that finds none": (
        head(task="MulticlassClassification", maxDetections=5),
        "spec.model.heads[0].maxDetections",
    ),
    "levels in the wrong order": (head(levels=[5, 3]), "spec.model.heads[0].levels"),
    "levels outside the neck": (head(levels=[3, 7]), "spec.model.heads"),
    "several levels without a neck": (lambda j: j["spec"]["model"].pop("neck"), "spec.model.heads"),
    "a backbone that does not exist": (
        model(backbone={"name": "resnet19"}),
        "spec.model.backbone.name",
    ),
    "initialization from a job without its name": (
        model(initialization={"from": "Job"}),
        "spec.model.initialization.job",
    ),
    "initialization from a job that none can be called": (
        model(initialization={"from": "Job", "job": "Night 1"}),
        "spec.model.initialization.job",
    ),
    "a uri without from: URI": (
        model(initialization={"from": "Random", "uri": "s3://a/b"}),
        "spec.model.initialization.uri",
    ),
    "a uri that is no folder of a store": (
        model(initialization={"from": "URI", "uri": "https://a/b"}),
        "spec.model.initialization.uri",
    ),
    "a uri of a bucket alone": (
        model(initialization={"from": "URI", "uri": "s3://a/"}),
        "spec.model.initialization.uri",
    ),
    "a uri with a line break": (
        model(initialization={"from": "URI", "uri": "s3://a/b\n"}),
        "spec.model.initialization.uri",
    ),
    "a uri that leads out": (
        model(initialization={"from": "URI", "uri": "s3://a/b/../c"}),
        "spec.model.initialization.uri",
    ),
    "a uri of a file": (
        model(initialization={"from": "URI", "uri": "s3://a/b/model.safetensors"}),
        "spec.model.initialization.uri",
    ),
    "a switch for a number": (training(maxSteps=True), "spec.training.maxSteps"),
    "a number for a switch": (lambda j: j["spec"].update(suspend=1), "spec.suspend"),
    "another kind": (lambda j: j.update(kind="Trainingjob"), "kind"),
    "steps in quotation marks": (training(maxSteps="100"), "spec.training.maxSteps"),
    "a switch in quotation marks": (
        lambda j: j["spec"].update(suspend="true"),
        "spec.suspend",
    ),
    "a level in quotation marks": (head(levels=["3", 5]), "spec.model.heads[0].levels[0]"),
    "no steps": (training(maxSteps=0), "spec.training.maxSteps"),
    "a batch of nothing": (training(batchSize=0), "spec.training.batchSize"),
    "a learning rate of zero": (
        training(optimizer={"learningRate": 0}),
        "spec.training.optimizer.learningRate",
    ),
    "momentum for AdamW": (
        training(optimizer={"name": "AdamW", "momentum": 0.9}),
        "spec.training.optimizer.momentum",
    ),
    "MultiStep without milestones": (scheduler(name="MultiStep"), f"{_SCHEDULER}.milestones"),
    "a milestone beyond the last step": (
        scheduler(name="MultiStep", milestones=[50, 101]),
        f"{_SCHEDULER}.milestones",
    ),
    "a milestone beyond the default's last step": (
        training(scheduler={"name": "MultiStep", "milestones": [20_000]}),
        f"{_SCHEDULER}.milestones",
    ),
    "warm-up without OneCycle": (scheduler(name="Constant", warmupSteps=5), _SCHEDULER),
    "warm-up beyond the last step": (
        scheduler(name="OneCycle", warmupSteps=101),
        f"{_SCHEDULER}.warmupSteps",
    ),
    "a duration without a unit": (training(maxDuration="10"), "spec.training.maxDuration"),
    "a duration in words": (training(maxDuration="2 hours"), "spec.training.maxDuration"),
    "a duration in days": (training(maxDuration="2d"), "spec.training.maxDuration"),
    "a duration with a fraction": (training(maxDuration="1.5h"), "spec.training.maxDuration"),
    "no time to learn": (training(maxDuration="0s"), "spec.training.maxDuration"),
    "no time to learn, in hours": (training(maxDuration="0h0m"), "spec.training.maxDuration"),
    "no time to see the end": (
        lambda j: j["spec"].update(ttlAfterFinished="30s"),
        "spec.ttlAfterFinished",
    ),
    "a time to live in days": (
        lambda j: j["spec"].update(ttlAfterFinished="7d"),
        "spec.ttlAfterFinished",
    ),
    "no time to start": (runner(startTimeout="0s"), "spec.runner.startTimeout"),
    "no time between checkpoints": (
        runner(checkpointInterval="0m"),
        "spec.runner.checkpointInterval",
    ),
    "no time to stop": (runner(stopGracePeriod="0s"), "spec.runner.stopGracePeriod"),
    "hardly time to stop": (runner(stopGracePeriod="9s"), "spec.runner.stopGracePeriod"),
    "a negative number of GPUs": (runner(gpus=-1), "spec.runner.gpus"),
    "a dataset size with a blank": (runner(datasetSize="20 GB"), "spec.runner.datasetSize"),
    "a dataset size of a few bytes": (runner(datasetSize="20"), "spec.runner.datasetSize"),
    "a dataset size in thousandths": (runner(datasetSize="500m"), "spec.runner.datasetSize"),
    "memory in thousandths of a byte": (limits(memory="512m"), _LIMITS),
    "memory in many thousandths of a byte": (limits(memory="8000000000000m"), _LIMITS),
    "memory of a few bytes": (limits(memory=8), _LIMITS),
    "memory of a few bytes as text": (limits(memory="16"), _LIMITS),
    "memory of a few kilobytes": (requests(memory="512Ki"), _REQUESTS),
    "memory in no unit": (limits(memory="8GB"), _LIMITS),
    "memory with a blank": (limits(memory="8 Gi"), _LIMITS),
    "memory without end": (limits(memory="1e999999999"), _LIMITS),
    "a dataset size without end": (runner(datasetSize="1E999999999"), "spec.runner.datasetSize"),
    "memory below zero": (limits(memory="-1Gi"), _LIMITS),
    "cpu in bytes": (limits(cpu="4Gi"), _LIMITS),
    "no cpu at most": (limits(cpu=0), _LIMITS),
    "no cpu at most as text": (limits(cpu="0m"), _LIMITS),
    "thousandths of a cpu at most": (limits(cpu="8m"), _LIMITS),
    "billionths of a cpu at most": (limits(cpu="1n"), _LIMITS),
    "more memory than there is": (requests(memory="9Ei"), _REQUESTS),
    "more memory than a number holds": (limits(memory="9999999999Gi"), _LIMITS),
    "more disk than there is": (limits(ephemeral_storage="2Pi"), _LIMITS),
    "a dataset of all disks": (runner(datasetSize="16Ei"), "spec.runner.datasetSize"),
    "disk of a few bytes": (limits(ephemeral_storage=50), _LIMITS),
    "a resource that does not exist": (limits(mem="8Gi"), _LIMITS),
    "a quota's resource": (limits(**{"requests.memory": "8Gi"}), _LIMITS),
    "requests over limits": (requests({"memory": "8Gi"}, memory="16Gi"), _REQUESTS),
    "requests over limits in other units": (requests({"cpu": "1500m"}, cpu=2), _REQUESTS),
    "a device that is requested without a limit": (
        requests(**{"example.com/fpga": 1}),
        _REQUESTS,
    ),
    "a resource of Kubernetes' own": (limits(**{"kubernetes.io/thing": 1}), _LIMITS),
    "huge pages without a limit": (requests(**{"hugepages-2Mi": "4Mi"}), _REQUESTS),
    "huge pages and a half": (limits(**{"hugepages-2Mi": "3Mi"}), _LIMITS),
    "less than a huge page": (limits(**{"hugepages-1Gi": 1024}), _LIMITS),
    "huge pages of no size": (limits(**{"hugepages-0Mi": "2Mi"}), _LIMITS),
    "half a device": (limits(**{"example.com/fpga": "500m"}), _LIMITS),
    "a GPU beside none": (limits(0, nvidia_com_gpu=1), _LIMITS),
    "four GPUs beside one": (limits(nvidia_com_gpu=4), _LIMITS),
    "GPUs in upper case": (limits(**{"nvidia.com/GPU": 2}), _LIMITS),
    "a part of a GPU beside none": (limits(0, **{"nvidia.com/mig-1g.10gb": 1}), _LIMITS),
    "a GPU of another maker beside none": (limits(0, **{"amd.com/gpu": "1"}), _LIMITS),
    "a label's name that none is": (runner(nodeSelector={"disk type": "ssd"}), _SELECTOR),
    "a label's name with two domains": (runner(nodeSelector={"a/b/c": "ssd"}), _SELECTOR),
    "a label's name with a domain that none is": (
        runner(nodeSelector={f"{'x' * 254}/a": "ssd"}),
        _SELECTOR,
    ),
    "a label's value that none is": (runner(nodeSelector={"pool": "H100 80GB"}), _SELECTOR),
    "a label's value that ends in a dash": (runner(nodeSelector={"pool": "h100-"}), _SELECTOR),
    "a label's value that is too long": (runner(nodeSelector={"pool": "x" * 64}), _SELECTOR),
    "a label's value that is no text": (runner(nodeSelector={"gpu": True}), _SELECTOR),
    "Exists with a value": (
        toleration(key="nvidia.com/gpu", operator="Exists", value="present"),
        f"{_TOLERATION}.value",
    ),
    "seconds of what does not end pods": (
        toleration(operator="Exists", tolerationSeconds=60),
        f"{_TOLERATION}.tolerationSeconds",
    ),
    "seconds of NoSchedule": (
        toleration(key="a", operator="Exists", effect="NoSchedule", tolerationSeconds=60),
        f"{_TOLERATION}.tolerationSeconds",
    ),
    "a toleration of nothing": (toleration(effect="NoSchedule"), f"{_TOLERATION}.key"),
    "a value without a key": (
        toleration(operator="Equal", value="gpu"),
        f"{_TOLERATION}.key",
    ),
    "an effect that does not exist": (
        toleration(key="a", operator="Exists", effect="NoStart"),
        f"{_TOLERATION}.effect",
    ),
    "a taint's name that none is": (
        toleration(key="nvidia gpu", operator="Exists"),
        f"{_TOLERATION}.key",
    ),
    "a taint's value that none is": (
        toleration(key="gpu", value="H100 80GB"),
        f"{_TOLERATION}.value",
    ),
    "a misspelt affinity": (
        runner(affinity={"nodeAffinty": {}}),
        "spec.runner.affinity.nodeAffinty",
    ),
    "an affinity of text": (
        runner(affinity={"nodeAffinity": "gpu"}),
        "spec.runner.affinity.nodeAffinity",
    ),
    "no term of a node": (node(), _REQUIRED),
    "a term of nothing": (node({}), f"{_REQUIRED}[0]"),
    "an operator that does not exist": (
        label(key="pool", operator="Equals", values=["h100"]),
        f"{_REQUIRED}[0].matchExpressions[0].operator",
    ),
    "an expression without a key": (
        label(operator="Exists"),
        f"{_REQUIRED}[0].matchExpressions[0].key",
    ),
    "In nothing": (
        label(key="pool", operator="In"),
        f"{_REQUIRED}[0].matchExpressions[0].values",
    ),
    "a label that exists with a value": (
        label(key="pool", operator="Exists", values=["h100"]),
        f"{_REQUIRED}[0].matchExpressions[0].values",
    ),
    "greater than two numbers": (
        label(key="memory", operator="Gt", values=["8", "16"]),
        f"{_REQUIRED}[0].matchExpressions[0].values",
    ),
    "greater than a word": (
        label(key="memory", operator="Gt", values=["many"]),
        f"{_REQUIRED}[0].matchExpressions[0].values",
    ),
    "a value in an expression that no label has": (
        label(key="pool", operator="In", values=["H100 80GB"]),
        f"{_REQUIRED}[0].matchExpressions[0].values[0]",
    ),
    "a node's field that cannot be selected": (
        node({"matchFields": [{"key": "spec.unschedulable", "operator": "In", "values": ["a"]}]}),
        f"{_REQUIRED}[0].matchFields[0].key",
    ),
    "pods without a place": (pod(labelSelector=_APP), f"{_APART}.topologyKey"),
    "a place that is no label": (
        pod(labelSelector=_APP, topologyKey="host name"),
        f"{_APART}.topologyKey",
    ),
    "no pods in a place": (
        pod(topologyKey="kubernetes.io/hostname"),
        f"{_APART}.labelSelector",
    ),
    "pods of a label that none is": (
        pod(labelSelector={"matchLabels": {"app name": "x"}}, topologyKey="a"),
        f"{_APART}.labelSelector.matchLabels",
    ),
    "pods of a namespace that none is": (
        pod(labelSelector=_APP, topologyKey="a", namespaces=["Team A"]),
        f"{_APART}.namespaces[0]",
    ),
    "pods of the same label and of another": (
        pod(
            labelSelector=_APP, topologyKey="a", matchLabelKeys=["b"], mismatchLabelKeys=["a", "b"]
        ),
        f"{_APART}.mismatchLabelKeys",
    ),
    "a weight of nothing": (
        runner(
            affinity={
                "podAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 0,
                            "podAffinityTerm": {"labelSelector": _APP, "topologyKey": "a"},
                        }
                    ]
                }
            }
        ),
        "spec.runner.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight",
    ),
    "an image with a scheme": (runner(image="https://registry.example.com/trainer"), _IMAGE),
    "an image of docker's scheme": (runner(image="docker://trainer:1"), _IMAGE),
    "an image in upper case": (runner(image="registry.example.com/Team/trainer"), _IMAGE),
    "an image without its tag": (runner(image="registry.example.com/trainer:"), _IMAGE),
    "an image with half a digest": (runner(image="trainer@sha256:0123"), _IMAGE),
    "an image at a port that none is": (runner(image="registry.example.com:99999/a:1"), _IMAGE),
    "an image with a blank": (runner(image="trainer :1"), _IMAGE),
    "an account that none can be called": (
        runner(serviceAccountName="Trainer"),
        "spec.runner.serviceAccountName",
    ),
    "a class that none can be called": (
        runner(priorityClassName="high priority"),
        "spec.runner.priorityClassName",
    ),
    "a scheduler that none can be called": (
        runner(schedulerName="Volcano Scheduler"),
        "spec.runner.schedulerName",
    ),
    "a runtime class that none can be called": (
        runner(runtimeClassName="kata_qemu"),
        "spec.runner.runtimeClassName",
    ),
    "a label of the pod that none is": (runner(labels={"cost center": "7"}), _LABELS),
    "a label's value of the pod that none is": (runner(labels={"team": "a b"}), _LABELS),
    "a label of the operator's": (runner(labels={"sihl.ai/job": "other"}), _LABELS),
    "a label of the operator's by a part of its domain": (
        runner(labels={"a.sihl.ai/b": ""}),
        _LABELS,
    ),
    "a label that the operator gives": (
        runner(labels={"app.kubernetes.io/name": "mine"}),
        _LABELS,
    ),
    "a label of Kubernetes' own": (
        runner(labels={"pod-security.kubernetes.io/enforce": "privileged"}),
        _LABELS,
    ),
    "more labels than a pod should have": (
        runner(labels={f"label-{number}": "" for number in range(21)}),
        _LABELS,
    ),
    "an annotation that none is": (runner(annotations={"a/b/c": "x"}), _ANNOTATIONS),
    "an annotation that says who is scraped": (
        runner(annotations={"prometheus.io/port": "80"}),
        _ANNOTATIONS,
    ),
    "an annotation of Kubernetes' own": (
        runner(annotations={"kubectl.kubernetes.io/default-container": "x"}),
        _ANNOTATIONS,
    ),
    "an annotation of the operator's": (runner(annotations={"sihl.ai/queue": "x"}), _ANNOTATIONS),
    "an annotation of many bytes a letter": (
        runner(annotations={"note": "\N{PARTY POPPER}" * 8000}),
        _ANNOTATIONS,
    ),
    "a bandwidth in words": (
        runner(annotations={"kubernetes.io/egress-bandwidth": "lots"}),
        _ANNOTATIONS,
    ),
    "a bandwidth without end": (
        runner(annotations={"kubernetes.io/ingress-bandwidth": "1e99"}),
        _ANNOTATIONS,
    ),
    "an annotation of a megabyte": (runner(annotations={"note": "x" * 8193}), _ANNOTATIONS),
    "a variable that none can be called": (variables(**{"NCCL-DEBUG": "INFO"}), f"{_ENV}.name"),
    "a variable that begins with a digit": (variables(**{"1ST": ""}), f"{_ENV}.name"),
    "a variable of the operator's": (variables(SIHL_ATTEMPT="7"), f"{_ENV}.name"),
    "a variable that says as whom is read": (variables(AWS_PROFILE="other"), f"{_ENV}.name"),
    "a variable that says where is read": (variables(aws_endpoint_url="http://b"), f"{_ENV}.name"),
    "a variable of Python's": (variables(PYTHONPATH="/scratch"), f"{_ENV}.name"),
    "a variable of the loader's": (variables(LD_PRELOAD="/scratch/a.so"), f"{_ENV}.name"),
    "a variable that takes others' GPUs": (variables(NVIDIA_VISIBLE_DEVICES="all"), f"{_ENV}.name"),
    "a variable that hides GPUs": (variables(CUDA_VISIBLE_DEVICES="0"), f"{_ENV}.name"),
    "a variable of torchrun's": (variables(WORLD_SIZE="2"), f"{_ENV}.name"),
    "a variable that says where programs are": (variables(PATH="/bin"), f"{_ENV}.name"),
    "a variable without a value": (runner(env=[{"name": "NCCL_DEBUG"}]), f"{_ENV}.value"),
    "a variable of a number": (
        runner(env=[{"name": "NCCL_IB_TIMEOUT", "value": 22}]),
        f"{_ENV}.value",
    ),
    "a variable of a page": (variables(NCCL_DEBUG="x" * 4097), f"{_ENV}.value"),
    "a variable of many bytes a letter": (
        variables(NCCL_DEBUG="\N{PARTY POPPER}" * 1025),
        f"{_ENV}.value",
    ),
    "a variable with a zero byte": (variables(NCCL_DEBUG="a\0b"), f"{_ENV}.value"),
    "a variable twice": (
        runner(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
        "spec.runner.env[1]",
    ),
    "a pull secret that none can be called": (
        runner(imagePullSecrets=[{"name": "My_Registry"}]),
        "spec.runner.imagePullSecrets[0].name",
    ),
    "a pull secret twice": (
        runner(imagePullSecrets=[{"name": "a"}, {"name": "a"}]),
        "spec.runner.imagePullSecrets[1]",
    ),
    "spread over nothing": (spread({"topologyKey": ""}), f"{_SPREAD}.topologyKey"),
    "spread over what is no label": (spread({"topologyKey": "my zone"}), f"{_SPREAD}.topologyKey"),
    "a skew of nothing": (spread({"maxSkew": -1}), f"{_SPREAD}.maxSkew"),
    "spread or what": (spread({"whenUnsatisfiable": "Wait"}), f"{_SPREAD}.whenUnsatisfiable"),
    "spread of no pods": (spread({"labelSelector": None}), f"{_SPREAD}.labelSelector"),
    "least zones of who may go anywhere": (
        spread({"minDomains": 2, "whenUnsatisfiable": "ScheduleAnyway"}),
        f"{_SPREAD}.minDomains",
    ),
    "a label that is given twice": (
        spread({"matchLabelKeys": ["app"]}),
        f"{_SPREAD}.matchLabelKeys",
    ),
    "a spread twice": (spread({}, {"maxSkew": 2}), "spec.runner.topologySpreadConstraints[1]"),
    "a misspelt spread": (spread({"maxskew": 1}), f"{_SPREAD}.maxskew"),
    "text that is mirrored": (
        both(head(task="TextRecognition"), training(augmentation={"horizontalFlip": True})),
        "spec.training.augmentation.horizontalFlip",
    ),
    "depth that is shrunk": (
        both(head(task="DepthEstimation"), training(augmentation={"scale": 0.1})),
        "spec.training.augmentation.scale",
    ),
    "a name too long for a label": (lambda j: j["metadata"].update(name="j" * 64), "metadata.name"),
    "a name that none can be called": (
        lambda j: j["metadata"].update(name="Night_1"),
        "metadata.name",
    ),
    "a label of its own that none can have": (
        lambda j: j["metadata"].update(labels={"team": "Zürich"}),
        "metadata.labels",
    ),
}
"""By what is wrong: a change of a good job, and the field that is told."""

_ZONE = {"key": "zone", "operator": "In", "values": ["a", ""]}
VALID: dict[str, Change] = {
    "all that resources can say": runner(
        gpus=2,
        resources={
            "requests": {"cpu": "500m", "memory": "64Mi", "ephemeral-storage": "20G"},
            "limits": {
                "cpu": "1.5",
                "memory": "+1.T",
                "nvidia.com/gpu": "2",
                "example.com/fpga": 1,
                "hugepages-2Mi": "128Mi",
                "hugepages-1Gi": "2147483648",
            },
        },
    ),
    "requests that are their limits in other units": requests(
        {"cpu": 1, "memory": 2**30}, cpu="1000m", memory="1Gi"
    ),
    "nothing that a device has": limits(0, **{"example.com/fpga": 0}),
    "all that node affinity can say": node(
        {"matchExpressions": [_ZONE, {"key": "a.b/c_d", "operator": "DoesNotExist"}]},
        {"matchExpressions": [{"key": "memory", "operator": "Gt", "values": ["80"]}]},
        {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node.a-1"]}]},
    ),
    "affinity to thousands of nodes": label(
        key="kubernetes.io/hostname", operator="In", values=[f"node-{n}" for n in range(5000)]
    ),
    "all that pod affinity can say": pod(
        labelSelector={
            "matchLabels": {"app.kubernetes.io/name": "x"},
            "matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}],
        },
        topologyKey="kubernetes.io/hostname",
        namespaces=["team-a"],
        namespaceSelector={},
        matchLabelKeys=["version"],
        mismatchLabelKeys=["tenant"],
    ),
    "affinity that says nothing": runner(affinity={"nodeAffinity": {}, "podAffinity": {}}),
    "all that a pod can have of its own": runner(
        labels={"kueue.x-k8s.io/queue-name": "gpus", "app.kubernetes.io/part-of": "vision"},
        annotations={
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "kubernetes.io/egress-bandwidth": "1G",
            "example.com/note": "ü " * 4000,
        },
        env=[
            {"name": "NCCL_DEBUG", "value": "INFO"},
            {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
            {"name": "_", "value": ""},
            {"name": "PATHS", "value": "$(HOME) $$"},
        ],
        runtimeClassName="nvidia",
        schedulerName="volcano",
        imagePullSecrets=[{"name": "a"}, {"name": "b.c"}],
    ),
    "all that spread can say": spread(
        {
            "minDomains": 2,
            "nodeAffinityPolicy": "Ignore",
            "nodeTaintsPolicy": "Honor",
            "matchLabelKeys": ["version"],
        },
        {"whenUnsatisfiable": "ScheduleAnyway"},
    ),
    "every taint": toleration(operator="Exists"),
    "a taint by key": toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule"),
    "a taint by value": toleration(key="gpu", value="", effect="NoExecute", tolerationSeconds=0),
    "an image of Docker's": runner(image="ubuntu"),
    "an image by all that an image has": runner(
        image=f"registry.example.com:65535/a/b__c/d-e.f:1.2_X@sha256:{'0' * 64}"
    ),
    "an image of this machine": runner(image="localhost:5000/sihl/trainer:dev"),
    "an endpoint by its address": train(endpoint="http://10.0.0.1:65535/"),
    "an endpoint by IPv6": train(endpoint="http://[fd00::1]:9000"),
    "an endpoint by IPv6 in full": train(endpoint="http://[2001:db8:0:0:0:0:2:1]"),
    "an endpoint by IPv6 that was IPv4": train(endpoint="http://[::ffff:10.0.0.1]:9000"),
    "an endpoint whose name ends in digits": train(endpoint="http://minio.node-7:9000"),
    "an endpoint whose name begins with digits": train(endpoint="http://10-0-0-1.minio.7b:9000"),
    "an endpoint of a cluster": train(endpoint="http://minio.storage.svc.cluster.local.:9000"),
    "a bucket with dots": train(bucket="my.cells-2024.v1"),
    "the least of everything": runner(
        stopGracePeriod="10s", startTimeout="10s", checkpointInterval="1s", datasetSize="1Ki"
    ),
    "the most of every time": both(
        runner(stopGracePeriod="999999h9999999m", checkpointInterval="999999h"),
        training(maxDuration="999999h59m59s"),
    ),
    "as the pod's service account": train(credentials={"serviceAccount": True}),
    "a Secret, and no service account": train(
        credentials={"secretName": "keys", "serviceAccount": False}
    ),
    "all that a service account can say": train(
        credentials={
            "serviceAccount": True,
            "roleArn": "arn:minio:iam:::role/idmp-cells_reader/1",
            "stsEndpoint": "https://minio.storage:9000",
            "audience": "minio",
        }
    ),
    "a time to live": lambda j: j["spec"].update(ttlAfterFinished="168h"),
    "steps up to the last": scheduler(name="MultiStep", milestones=[50, 100]),
    "warm-up up to the last step": scheduler(name="OneCycle", warmupSteps=100),
    "a model of another job's": model(initialization={"from": "Job", "job": "night.1-a"}),
    "a model of a store's": model(initialization={"from": "URI", "uri": "s3://b/a folder/model/"}),
}
"""By what it is: a change of a good job after which it is as good."""
