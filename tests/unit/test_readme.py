"""What the README and the examples promise is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo import chart, datasets, jobs
from sihl_api.runner import Runner
from sihl_api.runtime import ExitCode
from sihl_api.tasks import Task
from sihl_api.trainingjob import KIND, TrainingJobSpec
from sihl_trainer.dataset.metadata import read_metadata
from sihl_trainer.jobfile import read_job
from tests.support.chart import render
from tests.support.reasons import given, of_stores

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def blocks(language: str) -> list[str]:
    """The README's code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_make_target_that_it_names_exists() -> None:
    named = set(re.findall(r"(?:`|^)make ([a-z][a-z-]+)", README, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "test-fast", "clean", "crd"} <= named
    assert named <= targets


def test_every_file_that_it_links_to_exists() -> None:
    pictures = re.findall(r'src(?:set)?="([^"]+)"', README)
    links = [*re.findall(r"\]\(([^)#]+)\)", README), *pictures]
    assert len(links) > len(pictures) > 0
    here = [link for link in links if "https:" not in link]
    assert [link for link in here if not (ROOT / link).exists()] == []


def test_its_table_of_formats_has_every_task() -> None:
    table = README[README.index("| a head's `task`") :].split("\n\n")[0]
    assert re.findall(r"`([A-Z]\w+)`", table) == [task.value for task in Task]


def test_every_job_in_it_is_valid() -> None:
    documents = [yaml.safe_load(block) for block in blocks("yaml")]
    found = [each for each in documents if each.get("kind") == KIND]
    assert found
    for job in found:
        TrainingJobSpec.model_validate(job["spec"])


def test_the_page_on_pods_has_every_field_of_the_runner() -> None:
    page = (ROOT / "docs" / "pods.md").read_text()
    fields = [str(field.alias) for field in Runner.model_fields.values()]
    assert [name for name in fields if f"`{name}`" not in page] == []


def test_its_multitask_metadata_can_be_read(tmp_path: Path) -> None:
    text = next(block for block in blocks("yaml") if block.startswith("tasks:"))
    (tmp_path / "metadata.yaml").write_text(text)
    assert set(read_metadata(tmp_path).sets) == {"boxes", "pose"}


def test_it_names_every_exit_code() -> None:
    told = README[README.index("exit codes") :].split("\n")[0]
    for code in ExitCode:
        assert re.search(rf"\b{int(code)} ", told), code


def explained() -> set[str]:
    """The reasons of its table."""
    table = README[README.index("| reason | meaning") :].split("\n\n")[0]
    return {r for row in table.splitlines()[2:] for r in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_it_explains_every_reason_that_the_code_gives() -> None:
    found = given()
    assert {"DatasetEmpty", "NoGPU", "WorkerCrashed", "PodDeleted", "QuotaTooSmall"} <= found
    stores = of_stores()
    assert {"EndpointWrong", "RegionWrong", "Full"} <= stores
    assert sorted((found | {f"Dataset{name}" for name in stores}) - explained()) == []


def test_every_reason_that_it_explains_is_one_that_the_code_gives() -> None:
    named = explained()
    code = "".join(
        path.read_text()
        for folder in ("crds", "operator", "trainer_image")
        for path in (ROOT / folder).rglob("*.py")
    )
    assert len(named) > 10
    # What a store answers is told of the dataset's and of the record's: by its name, after whose.
    asked = {r: r.removeprefix("Dataset").removeprefix("Store") for r in named}
    answers = "".join(path.read_text() for path in (ROOT / "crds" / "sihl_s3").glob("*.py"))
    unknown = {r for r in named if f'"{r}"' not in code and f'"{asked[r]}"' not in answers}
    assert unknown == set()


@pytest.mark.slow
def test_the_chart_takes_its_values() -> None:
    text = next(block for block in blocks("yaml") if "my-values.yaml" in block)
    objects = render(yaml.safe_load(text))
    assert any(each["kind"] == "Secret" for each in objects)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid_and_explained(path: Path) -> None:
    assert read_job(path).namespace != "default"
    assert path.read_text().startswith("# ")


def test_the_demo_runs_two_jobs_of_one_project_and_one_of_another() -> None:
    projects = [read(path)["spec"]["project"] for path in jobs.FILES]
    assert len(projects) == 3
    assert len(set(projects)) == 2


@pytest.mark.parametrize("path", jobs.FILES, ids=lambda path: path.name)
def test_the_demos_jobs_read_what_the_demo_uploads(path: Path) -> None:
    job = read(path)
    assert job["metadata"]["namespace"] == chart.NAMESPACE
    for split in ("train", "validation"):
        location = job["spec"]["dataset"][split]
        kinds = [location["prefix"] == f"{datasets.PREFIX}/{k}/{split}" for k in datasets.IMAGES]
        assert any(kinds)
        assert location["bucket"] == chart.NAMESPACE
        assert location["endpoint"] == f"http://sihl-store.{chart.SYSTEM_NAMESPACE}.svc:8333"
        assert location["credentials"] == {"secretName": datasets.SECRET}


def read(path: Path) -> dict[str, Any]:
    """A job's file."""
    return jobs.read(path)
