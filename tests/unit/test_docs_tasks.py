"""What the documentation says of the tasks is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sihl_api.record import HeadConfig
from sihl_api.tasks import CONVERSIONS, Task
from sihl_trainer.dataset.metadata import read_metadata
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.rooms import format_of, head_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEXT = (DOCS / "tasks.md").read_text()
CHANNELS = dict.fromkeys(range(1, 8), 8)
each_task = pytest.mark.parametrize("task", list(Task))


def section(task: Task) -> str:
    """The text below the heading that has the task's words."""
    found = re.search(rf"^## {task.words}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S | re.I)
    assert found is not None, f"docs/tasks.md has no section for {task.words!r}"
    return found[1]


def example(task: Task) -> list[str]:
    """The metadata and, where they are a file, the annotations that the section shows."""
    found = re.search(r"```yaml\n(.*?)```", section(task), re.S)
    assert found is not None
    return found[1].split("---\n")


def told(task: Task, folder: Path) -> HeadInfo:
    """What a head of the task is told by the section's metadata."""
    (folder / "metadata.yaml").write_text(example(task)[0])
    sets = list(read_metadata(folder).sets.values())
    if task.self_supervised:
        assert sets == []
        return HeadInfo(task)
    assert [found.task for found in sets] == [task]
    return sets[0].info


def test_the_graph_that_is_drawn_is_the_one_that_is_followed() -> None:
    drawn = re.search(r"```mermaid\n(.*?)```", TEXT, re.S)
    assert drawn is not None
    edges = [
        f"    {source} --> {to}\n"
        for source, tos in CONVERSIONS.items()
        for to in tos
        if not to.self_supervised
    ]
    assert drawn[1] == "flowchart LR\n" + "".join(edges)


def test_a_section_for_each_task_and_their_order_is_that_of_the_api() -> None:
    words = [task.words for task in Task]
    headings = [heading.lower() for heading in re.findall(r"^## (.*)$", TEXT, re.M)]
    assert [heading for heading in headings if heading in words] == words


@each_task
def test_the_example_of_each_format_can_be_read(task: Task, tmp_path: Path) -> None:
    info = told(task, tmp_path)
    assert info.task is task
    _, *annotations = example(task)
    for text in annotations:
        file = tmp_path / "annotations.yaml"
        file.write_text(text)
        read = format_of(task).read(file, info)
        assert read.names
        assert "null" in text
        for name in read.names:
            assert read.target(name) is not None
            assert read.fault(name, 200, 100) is None


@each_task
def test_the_metrics_that_are_named_are_those_that_a_head_reports(
    task: Task, tmp_path: Path
) -> None:
    kind = head_of(task)
    levels = kind.default_levels(CHANNELS, True)
    settings = kind.settings(told(task, tmp_path))
    config = HeadConfig(name="head", task=task, levels=levels, settings=settings)
    line = next(line for line in section(task).splitlines() if line.startswith("- **Metrics**"))
    named = set(re.findall(r"`(\w+)`", line))
    assert named == set(kind(config, CHANNELS).metric().better)


def test_every_reason_that_is_explained_is_one_that_the_code_gives() -> None:
    named = set(re.findall(r"`((?:Dataset|Annotations|Settings)\w+)`", TEXT))
    code = "".join(path.read_text() for path in (ROOT / "trainer_image").rglob("*.py"))
    assert len(named) > 10
    assert {reason for reason in named if f'"{reason}"' not in code} == set()


def test_every_file_that_the_documents_of_tasks_link_to_exists() -> None:
    for name in ("tasks.md", "add-a-task.md"):
        links = re.findall(r"\]\(([^)#]+)\)", (DOCS / name).read_text())
        assert [link for link in links if not (DOCS / link).exists()] == []
