"""What `top` shows, and what its keys do: all of it values, without a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sihl_api.status import Phase
from sihl_api.units import human_bytes
from sihl_dashboard.cli.jobs import Job, headline, in_queues, left
from sihl_dashboard.cli.terminal import shown, table

ENDED = 5
"""Jobs that have ended are shown, the latest first."""
_BAR = 10
_PHASE = 9
"""The longest one's characters: columns do not jump when it changes."""
_COLUMNS = ("QUEUE", "POSITION", "NAME", "PHASE", "PROGRESS", "LEFT", "IMAGES/S", "")
_KEYS = "q quit   up/down move   enter log"
_LOG_KEYS = "q back   up/down scroll   end follow"


@dataclass(frozen=True)
class View:
    """What a person looks at.

    Args:
        chosen: The uid of the job that is marked; "" is the first.
        log: Whether its log is open.
        back: How many lines before the log's end the last one shown is.
        is_over: Whether the person has had enough.
    """

    chosen: str = ""
    log: bool = False
    back: int = 0
    is_over: bool = False


@dataclass(frozen=True)
class Row:
    """A line of the screen.

    Args:
        text: Printable, and no wider than the screen.
        style: title, header, chosen, trouble, a phase, or nothing.
    """

    text: str
    style: str = ""


def ordered(jobs: Sequence[Job]) -> list[tuple[Job, int | None]]:
    """Queues in their order, then who has ended or was stopped lately."""
    lines = in_queues(jobs)
    queued = {job.uid for job, _ in lines}
    ended = [job for job in jobs if job.phase.ended and job.uid not in queued]
    ended.sort(key=lambda job: (job.status.ended_at or job.created, job.name), reverse=True)
    return [*lines, *((job, None) for job in ended[:ENDED])]


def pressed(
    view: View, key: str, lines: Sequence[tuple[Job, int | None]], page: int, length: int = 0
) -> View:
    """The view after a key.

    Args:
        view: The one before.
        key: up, down, pageup, pagedown, home, end, open, back or quit; others do nothing.
        lines: As `ordered` has them.
        page: Rows that a page moves by.
        length: Rows of the log that is open.
    """
    if key in ("quit", "back"):
        return replace(view, log=False, back=0) if view.log else replace(view, is_over=True)
    if key == "open" and lines:
        return replace(view, chosen=lines[place(view, lines)][0].uid, log=True, back=0)
    step = {"up": -1, "down": 1, "pageup": -page, "pagedown": page}.get(key, 0)
    if view.log:
        far = {"home": length, "end": 0}.get(key, view.back - step)
        return replace(view, back=max(min(far, length - page), 0))
    if not lines:
        return view
    at = {"home": 0, "end": len(lines) - 1}.get(key, place(view, lines) + step)
    return replace(view, chosen=lines[min(max(at, 0), len(lines) - 1)][0].uid)


def place(view: View, lines: Sequence[tuple[Job, int | None]]) -> int:
    """Where the chosen job stands; the first where it is gone."""
    return next((at for at, (job, _) in enumerate(lines) if job.uid == view.chosen), 0)


def jobs_screen(
    lines: Sequence[tuple[Job, int | None]],
    view: View,
    title: str,
    trouble: str,
    size: tuple[int, int],
    namespaces: bool = False,
) -> list[Row]:
    """All rows of the screen with the jobs, the chosen one among them.

    Args:
        lines: As `ordered` has them.
        view: What is chosen.
        title: Where these jobs are.
        trouble: What keeps them from being current; "" for nothing.
        size: Columns and rows of the terminal.
        namespaces: Whether to show them.
    """
    width, height = size
    active = sum(job.phase.active for job, _ in lines)
    waiting = sum(position is not None for _, position in lines)
    rows = [
        _title(f"{title}   {active} active, {waiting} waiting", _KEYS, width),
        *([Row(_cut(trouble, width), "trouble")] if trouble else ()),
    ]
    if not lines:
        return [*rows, Row(_cut("No training jobs.", width))][:height]
    header = (*(("NAMESPACE",) if namespaces else ()), *_COLUMNS)
    texts = table(header, [_cells(job, position, namespaces) for job, position in lines])
    at, room = place(view, lines), max(height - len(rows) - 1, 1)
    first = min(max(at - room // 2, 0), max(len(lines) - room, 0))
    rows.append(Row(_cut(texts[0], width), "header"))
    for number in range(first, min(first + room, len(lines))):
        style = "chosen" if number == at else str(lines[number][0].phase)
        rows.append(Row(_cut(texts[number + 1], width), style))
    return rows[:height]


def log_screen(
    job: Job, lines: Sequence[str], view: View, trouble: str, size: tuple[int, int]
) -> list[Row]:
    """All rows of the screen with a job's log, the end of it unless one scrolled back.

    Args:
        job: Whose.
        lines: Printable ones, the last is the latest.
        view: How far back.
        trouble: Why there are no newer ones; "" for nothing.
        size: Columns and rows of the terminal.
    """
    width, height = size
    rows = [
        _title(f"{job.name}   {headline(job)}", _LOG_KEYS, width),
        *([Row(_cut(trouble, width), "trouble")] if trouble else ()),
    ]
    room = max(height - len(rows), 1)
    parts = folded(lines, width)
    if not parts and not trouble:
        parts = ["No log yet."]
    end = max(len(parts) - view.back, min(room, len(parts)))
    rows += [Row(text) for text in parts[max(end - room, 0) : end]]
    return rows[:height]


def folded(lines: Sequence[str], width: int) -> list[str]:
    """Lines of a log as rows of a screen."""
    width = max(width, 1)
    texts = [line.expandtabs(8) for line in lines]
    return [text[at : at + width] for text in texts for at in range(0, max(len(text), 1), width)]


def _title(text: str, keys: str, width: int) -> Row:
    text = shown(text)
    gap = width - len(text) - len(keys)
    return Row(_cut(f"{text}{' ' * gap}{keys}" if gap >= 3 else text, width), "title")


def _cells(job: Job, position: int | None, namespaces: bool) -> list[object]:
    progress = job.status.progress if job.phase.active else None
    speed = progress.images_per_second if progress else None
    row: list[object] = [
        job.queue, position, job.name, f"{job.phase:{_PHASE}}", _bar(job), left(progress),
        f"{speed:.4g}" if speed else "", _told(job),
    ]  # fmt: skip
    return [job.namespace, *row] if namespaces else row


def _bar(job: Job) -> str:
    progress = job.status.progress
    if progress is None:
        return ""
    if job.phase is Phase.STARTING and progress.dataset_total_bytes:
        here, total = progress.dataset_bytes or 0, progress.dataset_total_bytes
        return f"{_filled(here / total)} {human_bytes(here)} of {human_bytes(total)}"
    if progress.percent is None:
        return ""
    return f"{_filled(progress.percent / 100)} {progress.percent}%"


def _filled(part: float) -> str:
    full = round(_BAR * min(max(part, 0.0), 1.0))
    return f"[{'#' * full}{'.' * (_BAR - full)}]"


def _told(job: Job) -> str:
    """Metrics of who has any, else why it waits or how it ended."""
    metrics = sorted((job.status.metrics or {}).items())
    if metrics and job.phase is not Phase.FAILED:
        return ", ".join(f"{name} {value}" for name, value in metrics)
    reason, message = job.why
    return ": ".join(part for part in (reason, message) if part)


def _cut(text: str, width: int) -> str:
    return shown(text, max(width, 4))[: max(width, 0)]
