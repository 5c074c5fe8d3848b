"""What the demo decides and shows, without a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo import images
from demo.alone import queue_order
from demo.commands import DemoError
from demo.images import source_digest
from demo.jobs import JobView, view
from demo.live import line
from local_cluster.programs import unsuitable

ROOT = Path(__file__).parents[2]


def job(name: str, project: str, priority: int = 0, **status: object) -> dict[str, object]:
    spec = {"project": project, "priority": priority}
    return {"metadata": {"name": name}, "spec": spec, "status": status}


def test_without_a_cluster_projects_take_turns_and_priority_goes_first() -> None:
    given = [job("a1", "a"), job("a2", "a", priority=5), job("b1", "b"), job("a3", "a")]
    order = [each["metadata"]["name"] for each in queue_order(given)]
    assert order == ["a2", "b1", "a1", "a3"]


def test_a_job_without_a_status_is_shown_as_not_ended() -> None:
    seen = view({"metadata": {"name": "new"}, "spec": {"project": "p"}})
    assert not seen.ended
    assert "new" in line(seen)


def test_a_running_job_is_shown_with_its_step_and_time_left() -> None:
    progress = {"step": 20, "maxSteps": 100, "remaining": "1m20s"}
    seen = view(job("one", "p", phase="Running", progress=progress))
    assert seen.step == "20 of 100"
    assert "1m20s left" in line(seen)


def test_a_fetch_is_shown_until_the_job_trains_and_its_time_left_until_it_has_ended() -> None:
    fetched = {"datasetBytes": 2048, "datasetTotalBytes": 2048, "remaining": "7s"}
    fetching = view(job("one", "p", phase="Starting", progress=fetched))
    assert (fetching.dataset, fetching.left) == ("2.0 KiB of 2.0 KiB", "7s")
    assert view(job("one", "p", phase="Running", progress=fetched)).left == ""
    training = view(
        job("one", "p", phase="Running", progress={**fetched, "step": 0, "maxSteps": 9})
    )
    assert (training.dataset, training.step, training.left) == ("", "0 of 9", "7s")


def test_a_failed_job_is_shown_with_its_reason() -> None:
    condition = {"type": "Failed", "status": "True", "reason": "BadData", "message": "look here"}
    seen = view(job("one", "p", phase="Failed", conditions=[condition]))
    assert seen.ended
    assert seen.trouble == "BadData: look here"


def test_metrics_are_shown_in_the_order_of_their_names() -> None:
    shown = line(JobView("one", "p", "Succeeded", metrics={"b": "2", "a": "1"}))
    assert shown.endswith("a 1, b 2")


@pytest.mark.parametrize("name", images.DOCKERFILES)
def test_an_image_has_another_tag_when_its_code_or_what_it_needs_changes(
    name: str, tmp_path: Path
) -> None:
    for path in ("pyproject.toml", images.DOCKERFILES[name]):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    code = tmp_path / "crds" / "sihl_api" / "new.py"
    code.parent.mkdir(parents=True)
    code.write_text("a = 1\n")
    first = source_digest(name, tmp_path)
    assert source_digest(name, tmp_path) == first
    code.write_text("a = 2\n")
    second = source_digest(name, tmp_path)
    assert second != first
    (tmp_path / images.DOCKERFILES[name]).with_name("requirements.txt").write_text("kopf==1.2\n")
    assert source_digest(name, tmp_path) not in (first, second)


def test_a_page_that_changes_gives_the_dashboards_image_another_tag(tmp_path: Path) -> None:
    for path in ("pyproject.toml", images.DOCKERFILES["dashboard"]):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    page = tmp_path / "dashboard" / "sihl_dashboard" / "static" / "main.mjs"
    page.parent.mkdir(parents=True)
    page.write_text("export {}\n")
    first = source_digest("dashboard", tmp_path)
    page.write_text("export { page }\n")
    second = source_digest("dashboard", tmp_path)
    assert second != first
    (page.parent / "__pycache__").mkdir()
    (page.parent / "__pycache__" / "main.pyc").write_bytes(b"0")
    assert source_digest("dashboard", tmp_path) == second


def test_a_cluster_of_yours_without_a_registry_is_refused_with_the_remedy() -> None:
    from demo.cluster import Cluster

    given = Cluster("given", "prod", "", started=False)
    with pytest.raises(DemoError, match="give REGISTRY="):
        images.build(given, None)


@pytest.mark.parametrize(
    ("system", "machine", "user", "has_apt", "named"),
    [
        ("darwin", "arm64", 0, False, "Linux on x86-64"),
        ("linux", "x86_64", 1000, True, "root"),
        ("linux", "x86_64", 0, False, "apt-get"),
    ],
)
def test_a_machine_that_cannot_is_told_what_is_missing(
    system: str, machine: str, user: int, has_apt: bool, named: str
) -> None:
    problem = unsuitable(system, machine, user, has_apt)
    assert problem is not None
    assert named in problem
    assert "\n" not in problem


def test_a_machine_that_can_is_told_nothing() -> None:
    assert unsuitable("linux", "x86_64", 0, True) is None
