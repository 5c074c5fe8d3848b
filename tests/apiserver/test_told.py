"""What a real operator tells a collector of traces and whoever takes its log."""

from __future__ import annotations

import json
from pathlib import Path

from kubernetes import client

from sihl_api.runtime import ExitCode, Result
from sihl_api.traces import attempt_id, job_id
from tests.support.kubelet import HandKubelet
from tests.support.operators import leading, new_team
from tests.support.otlp import collecting
from tests.support.waiting import eventually

QUEUE = "told"


def test_a_jobs_attempts_are_one_trace_and_every_line_of_the_log_is_an_object(
    api: client.ApiClient, kubeconfig: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        collecting() as collector,
        HandKubelet(api, {"node-t": 1}) as kubelet,
        new_team(api, "told") as team,
    ):
        asked = {
            "SIHL_OPERATOR_TRACES_ENDPOINT": collector.endpoint,
            "SIHL_OPERATOR_LOG_FORMAT": "json",
            "SIHL_OPERATOR_LOG_LEVEL": "DEBUG",
        }
        with leading("told", kubeconfig, log, **asked):
            team.submit("job", project=QUEUE)
            kubelet.runs(team.pod(QUEUE))
            team.phase("job", "Running")
            kubelet.ends(team.pod(QUEUE), ExitCode.CRASHED, Result(reason="Crashed"))
            kubelet.runs(team.pod(QUEUE, attempt=2))
            pod = team.pod(QUEUE, attempt=2)
            kubelet.ends(pod, ExitCode.BAD_DATA, Result(reason="LossNotFinite"))
            team.phase("job", "Failed")
            uid = pod.metadata.labels["sihl.ai/job-uid"]
            eventually(lambda: collector.named("job"), 60, 0.1)
    assert {span.trace for span in collector.spans} == {uid.replace("-", "")}
    whole, first, second = (
        f"{number:016x}" for number in (job_id(uid), attempt_id(uid, 1), attempt_id(uid, 2))
    )
    told = [(span.name, span.id, span.parent, span.error) for span in collector.spans]
    assert ("attempt 1", first, whole, "Crashed") in told
    assert ("attempt 2", second, whole, "LossNotFinite") in told
    assert ("job", whole, "", "LossNotFinite") in told
    assert [span.parent for span in collector.named("queue")] == [whole] * 2
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(line["logger"].startswith("sihl_operator") for line in lines)
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
