"""What is legal and hardly meant is told as a warning; what is usual is not."""

from pathlib import Path

import pytest
import yaml

from sihl_api.oddities import oddities, oddities_in_a_cluster
from sihl_api.rules import job_faults
from sihl_api.trainingjob import KIND
from tests.support.invalid import (
    VALID,
    Change,
    both,
    changed,
    head,
    model,
    runner,
    scheduler,
    train,
    training,
)

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
SAME = {"endpoint": "https://S3.example.com:443/", "bucket": "cells", "prefix": "/plates/"}


def told(change: Change) -> list[str]:
    """The warnings of a job, which no rule refuses."""
    spec, faults = job_faults(changed(change))
    assert (faults, spec is None) == ([], False)
    assert spec is not None
    return oddities(spec, changed(change)["metadata"])


def validated_on(location: dict[str, str]) -> Change:
    return both(train(prefix="plates"), lambda j: j["spec"]["dataset"].update(validation=location))


ODD: dict[str, tuple[Change, str]] = {
    "more validations than steps": (
        training(maxSteps=5, validations=6),
        "training.validations is 6 and training.maxSteps 5",
    ),
    "validated on what it learns from": (
        validated_on(SAME),
        "dataset.validation is dataset.train",
    ),
    "a blank behind a prefix": (train(prefix="plates "), "dataset.train.prefix is 'plates '"),
    "a part of what is not parted": (
        both(
            validated_on({**SAME, "bucket": "others"}),
            lambda j: j["spec"]["dataset"].update(validationFraction=0.2),
        ),
        "dataset.validationFraction is 0.2, and dataset.validation is given",
    ),
    "a queue as a label": (
        lambda j: j["metadata"].update(labels={"sihl.ai/queue": "night"}),
        "metadata.labels has sihl.ai/queue, which nobody reads",
    ),
    "a misspelt queue": (
        lambda j: j["metadata"].update(annotations={"sihl.ai/Queue": "night"}),
        "metadata.annotations has sihl.ai/Queue, which nobody reads",
    ),
    "weights that are gone after a step": (
        training(optimizer={"learningRate": 1, "weightDecay": 2}),
        "training.optimizer.learningRate times weightDecay is 2",
    ),
    "a stop that takes days": (
        runner(stopGracePeriod="25h"),
        "runner.stopGracePeriod is 25h: a pod that does not end",
    ),
    "days that nothing is saved": (
        runner(checkpointInterval="48h"),
        "runner.checkpointInterval is 48h: whatever ends the pod",
    ),
    "a secret that everybody sees": (
        runner(env=[{"name": "WANDB_API_KEY", "value": "x"}, {"name": "TOKENS", "value": ""}]),
        "runner.env has WANDB_API_KEY: whoever reads",
    ),
    "a life that Git makes again": (
        both(
            lambda j: j["spec"].update(ttlAfterFinished="24h"),
            lambda j: j["metadata"].update(annotations={"argocd.argoproj.io/tracking-id": "a:b"}),
        ),
        "ttlAfterFinished is 24h, and Argo CD holds the job",
    ),
    "a head that does not learn": (head(lossWeight=0), "lossWeight of model.heads boxes is 0"),
    "a milestone at the end": (
        scheduler(name="MultiStep", milestones=[50, 100]),
        "training.scheduler.milestones has 100",
    ),
    "a milestone twice": (
        scheduler(name="MultiStep", milestones=[50, 50]),
        "training.scheduler.milestones has a step more than once",
    ),
    "warm-up to the end": (
        scheduler(name="OneCycle", warmupSteps=100),
        "training.scheduler.warmupSteps is training.maxSteps",
    ),
    "a dataset larger than the disk's limit": (
        runner(datasetSize="50Gi", resources={"limits": {"ephemeral-storage": "10Gi"}}),
        "runner.resources.limits.ephemeral-storage is 10Gi",
    ),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_hardly_meant_is_told_by_its_field(odd: str) -> None:
    change, words = ODD[odd]
    (warning,) = told(change)
    assert warning.startswith(words)


@pytest.mark.parametrize(
    "change",
    [
        training(maxSteps=5, validations=5),
        validated_on({**SAME, "prefix": "plates-2"}),
        validated_on({**SAME, "bucket": "others"}),
        lambda j: j["metadata"].update(annotations={"sihl.ai/queue": "night"}),
        runner(stopGracePeriod="24h", checkpointInterval="24h"),
        model(heads=[{"name": "kind", "task": "MulticlassClassification", "lossWeight": 0.1}]),
        scheduler(name="MultiStep", milestones=[50, 99]),
        VALID["all that node affinity can say"],
    ],
)
def test_what_may_be_meant_is_no_oddity(change: Change) -> None:
    assert told(change) == []


@pytest.mark.parametrize(
    ("change", "split"),
    [
        (train(endpoint="http://LocalHost:9000"), "train"),
        (validated_on({"endpoint": "http://[::1]:9000", "bucket": "cells"}), "validation"),
    ],
)
def test_a_store_on_ones_own_machine_is_odd_only_in_a_cluster(change: Change, split: str) -> None:
    spec, _ = job_faults(changed(change))
    assert spec is not None
    assert oddities(spec) == []
    (warning,) = oddities_in_a_cluster(spec)
    assert warning.startswith(f"dataset.{split}.endpoint is http://")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_nothing_is_odd_about_the_examples(example: Path) -> None:
    for each in yaml.safe_load_all(example.read_text()):
        if each and each["kind"] == KIND:
            spec, faults = job_faults(each)
            assert faults == []
            assert spec is not None
            assert oddities(spec) == []
