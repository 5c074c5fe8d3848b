"""The alerts, tried by Prometheus' own promtool: each fires, is silent in health, and ends."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm" / "alerts.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"

Labels = Mapping[str, str]
JOB = {"namespace": "vision", "training_job": "cells-1"}
QUEUE = {"namespace": "vision", "queue": "cells"}
POD = {**JOB, "project": "cells"}
FULL = {"namespace": "sihl-system", "persistentvolumeclaim": "data-sihl-store-0"}


def rules() -> list[dict[str, Any]]:
    """All alerting rules."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@dataclass(frozen=True)
class Case:
    """What happens, minute by minute, and what fires.

    Attributes:
        what: In words.
        alert: Its name.
        series: Values a minute in promtool's notation, by metric.
        fires: The labels of what fires, by the minute; None: nothing does then.
    """

    what: str
    alert: str
    series: Mapping[str, str]
    fires: Mapping[int, Labels | None]


def hindered(reason: str = "ImageNotPulled", instance: str = "op-1") -> str:
    return (
        f'sihl_job_hindered{{namespace="vision",queue="cells",training_job="cells-1",'
        f'reason="{reason}",job="sihl",instance="{instance}"}}'
    )


def waiting(reason: str, queue: str = "cells") -> str:
    return f'sihl_queue_waiting_gpus{{namespace="vision",queue="{queue}",reason="{reason}"}}'


def of_pod(metric: str, **labels: str) -> str:
    """A metric of the job's pod, as Prometheus has it."""
    target = {"job": "pods", "instance": "10.0.0.9:9464", "pod": "cells-runner"}
    return f"{metric}{{{written(target | labels)}}}"


def written(labels: Labels) -> str:
    """Labels in PromQL."""
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


INFO = {of_pod("sihl_job_info", **POD, attempt="2"): "1x600"}


def unsaved(seconds: str) -> dict[str, str]:
    """A pod whose checkpoints are due each ten minutes of training."""
    return {
        of_pod("sihl_training_unsaved_seconds"): seconds,
        of_pod("sihl_checkpoint_interval_seconds"): "600x600",
        **INFO,
    }


def disk(available: str) -> dict[str, str]:
    """The embedded store's volume, of 100 bytes, and another one that is full."""
    store, other = FULL | {"node": "n"}, {"namespace": "other", "persistentvolumeclaim": "data"}
    return {
        volume("capacity", **store): "100x600", volume("available", **store): available,
        volume("capacity", **other): "100x600", volume("available", **other): "1x600",
    }  # fmt: skip


def volume(what: str, **labels: str) -> str:
    """What a kubelet tells of a volume."""
    return f"kubelet_volume_stats_{what}_bytes{{{written(labels)}}}"


LEADERS = tuple(f'sihl_operator_leader{{job="sihl",instance="op-{n}"}}' for n in (1, 2))
CASES = (
    Case(
        "nobody leads, and then somebody does", "SihlNoLeader",
        {LEADERS[0]: "1x5 0x600", LEADERS[1]: "0x15 1x600"},
        {4: None, 8: None, 10: {}, 15: {}, 17: None},
    ),
    Case("nobody is there at all", "SihlNoLeader", {"up": "1x600"}, {2: None, 4: {}}),
    Case(
        "the lead changes hands", "SihlNoLeader",
        {LEADERS[0]: "1x5 0x600", LEADERS[1]: "0x7 1x600"}, {7: None, 9: None, 30: None},
    ),
    Case(
        "an image cannot be pulled, try after try, until it can", "SihlJobStuckStarting",
        # Three minutes of each try say nothing of it yet: the pod is made, its node pulls.
        {hindered(): "1x10 _x3 1x10 _x3 1x30 _x600", hindered(instance="op-2"): "1x60 _x600"},
        {
            15: None,
            35: {**JOB, "queue": "cells", "reason": "ImageNotPulled"},
            55: {**JOB, "queue": "cells", "reason": "ImageNotPulled"},
            73: None,
        },
    ),
    Case(
        "a node is drained, and another tried after half a minute", "SihlJobStuckStarting",
        {hindered("Disrupted"): "_x5 1 _x600"}, dict.fromkeys((6, 20, 60)),
    ),
    Case(
        "the first of a queue fits no node, until it is deleted", "SihlQueueNotMoving",
        {waiting("NoNodeFits"): "0x50 _x600"},
        {29: None, 31: {**QUEUE, "reason": "NoNodeFits"}, 56: None},
    ),
    Case(
        "queues wait for room, for days", "SihlQueueNotMoving",
        {waiting("WaitingForGPUs"): "8x4320", waiting("WaitingForRoom", "b"): "0x4320"},
        dict.fromkeys((31, 1000, 4000)),
    ),
    Case(
        "a queue goes on, job after job, each of which is the next for a moment",
        "SihlQueueNotMoving", {waiting("WaitingForQueue"): "1 _x19 1 _x19 1 _x600"},
        dict.fromkeys((21, 41, 61)),
    ),
    Case(
        "a node has the GPUs, and other people's pods its memory", "SihlGPUsIdle",
        {waiting("WaitingForRoom"): "4x90 _x600"},
        {59: None, 61: {**QUEUE, "reason": "WaitingForRoom"}, 96: None},
    ),
    Case(
        "GPUs are taken, and jobs without GPUs wait for CPUs", "SihlGPUsIdle",
        {waiting("WaitingForGPUs"): "4x600", waiting("WaitingForRoom", "b"): "0x600"},
        dict.fromkeys((61, 500)),
    ),
    Case(
        "the store refuses a record for a while", "SihlRecordNotWritable",
        {of_pod("sihl_record_writable"): "1x5 0x20 1x600", **INFO},
        {14: None, 17: POD, 26: POD, 28: None},
    ),
    Case(
        "the store is away for five minutes", "SihlRecordNotWritable",
        {of_pod("sihl_record_writable"): "1x5 0x5 1x600", **INFO}, dict.fromkeys((9, 12, 30)),
    ),
    Case(
        "a checkpoint does not become durable, and then does", "SihlCheckpointTooOld",
        unsaved("0+60x60 0+60x600"), {44: None, 50: POD, 60: POD, 63: None},
    ),
    Case(
        "checkpoints follow one another, each with a slow upload", "SihlCheckpointTooOld",
        unsaved("0+60x25 0+60x25 0+60x25"), dict.fromkeys((25, 50, 75)),
    ),
    Case(
        "a validation takes five hours", "SihlCheckpointTooOld",
        unsaved("0+60x9 540x300 0+60x9"), dict.fromkeys((100, 305)),
    ),
    Case(
        "the store's disk fills up, and is cleared", "SihlStoreNearlyFull",
        disk("12x5 9x20 40x600"), {14: None, 17: FULL, 28: None},
    ),
    Case("half of it is full", "SihlStoreNearlyFull", disk("50x600"), dict.fromkeys((15, 500))),
)  # fmt: skip


def fired(case: Case) -> list[bool]:
    """Whether it does, by the minutes at which that is looked at."""
    return [labels is not None for labels in case.fires.values()]


def as_promtool_has_it(case: Case) -> dict[str, Any]:
    severity = {rule["alert"]: rule["labels"]["severity"] for rule in rules()}[case.alert]
    found = [
        {
            "eval_time": f"{minute}m",
            "alertname": case.alert,
            "exp_alerts": []
            if labels is None
            else [{"exp_labels": {**labels, "severity": severity}}],
        }
        for minute, labels in case.fires.items()
    ]
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    return {"interval": "1m", "input_series": series, "alert_rule_test": found}


@pytest.mark.slow  # promtool comes with Debian's Prometheus, which `make test` installs
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.what}")
def test_it_fires_when_it_should_and_only_then(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "test.yaml"
    bare = [{k: v for k, v in rule.items() if k != "annotations"} for rule in rules()]
    named = {"groups": [{"name": "sihl", "rules": bare}]}  # promtool compares the words too
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(named))
    file.write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [as_promtool_has_it(case)]})
    )
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried_where_it_fires_and_where_it_does_not() -> None:
    for rule in rules():
        cases = [case for case in CASES if case.alert == rule["alert"]]
        silent = [case for case in cases if not any(fired(case))]
        assert silent, rule["alert"]
        assert any(any(fired(case)) and not fired(case)[-1] for case in cases), "and ends"


@pytest.mark.slow
def test_prometheus_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    assert promtool
    done = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "7 rules found" in done.stdout


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_it_means_and_has_a_page_that_says_what_to_do(
    rule: dict[str, Any],
) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description"}
    page = (RUNBOOKS / f"{rule['alert']}.md").read_text()
    assert page.startswith(f"# {rule['alert']}\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == [
        "What it means", "How to look", "What to do",
    ]  # fmt: skip


def test_there_is_no_page_without_its_alert() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in rules()}
