"""Jobs side by side: settings, data, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sihl_dashboard.cli.measures import number
from sihl_dashboard.cli.terminal import shown, table
from sihl_dashboard.records import Difference, Differences, JobRef, Score
from sihl_dashboard.records.facts import Fact

_SETTINGS = ("spec.", "versions.")
_MISSING = "-"


def is_setting(path: str) -> bool:
    """Whether a fact is of the spec or of what ran; others are of the data or of the outcome."""
    return path == "image" or path.startswith(_SETTINGS)


def titles(refs: Sequence[JobRef]) -> list[str]:
    """Jobs' names; folders where two jobs have the same one."""
    names = [ref.job for ref in refs]
    return [ref.job if names.count(ref.job) == 1 else ref.folder for ref in refs]


def told(
    refs: Sequence[JobRef],
    found: Differences,
    facts: Mapping[JobRef, Mapping[str, Fact]] | None = None,
) -> list[str]:
    """Lines of a comparison.

    Args:
        refs: In the order of the columns; the first is the baseline.
        found: What differs.
        facts: All that is known of the jobs, to show what they share too; None shows the
            differences alone.
    """
    if facts is None:
        settings = _rows(refs, found.settings)
        data = _rows(refs, found.dataset)
    else:
        differing = {each.path for each in (*found.settings, *found.dataset)}
        paths = sorted(
            {path for each in facts.values() for path, fact in each.items() if fact is not None}
        )
        settings, data = (
            [_row(refs, facts, path, path in differing) for path in paths if wanted(path)]
            for wanted in (is_setting, lambda path: path.startswith("data."))
        )
    lines = _section("SETTING", refs, settings, "The settings do not differ.")
    lines += ["", *_section("DATA", refs, data, "The data does not differ, as far as is known.")]
    lines += ["", *_section("BEST RESULT", refs, _results(refs, found.scores), "No results yet.")]
    lines += [
        f"{shown(each.metric)} of {len(each.refs)} jobs that differ by seed only: "
        f"{each.mean:.4g} +- {each.deviation:.2g}"
        for each in found.spreads
    ]
    return lines


def _section(
    title: str, refs: Sequence[JobRef], rows: list[list[object]], otherwise: str
) -> list[str]:
    return table([title, *map(shown, titles(refs))], rows) if rows else [otherwise]


def _rows(refs: Sequence[JobRef], differences: Sequence[Difference]) -> list[list[object]]:
    """What nobody has chosen says nothing, though some jobs lack the part that it is of."""
    return [
        [_path(each.path), *(_fact(each.values, ref) for ref in refs)]
        for each in differences
        if any(value is not None for value in each.values.values())
    ]


def _row(
    refs: Sequence[JobRef],
    facts: Mapping[JobRef, Mapping[str, Fact]],
    path: str,
    differs: bool,
) -> list[object]:
    values = {ref: facts[ref][path] for ref in refs if path in facts.get(ref, {})}
    return [f"{'*' if differs else ' '} {_path(path)}", *(_fact(values, ref) for ref in refs)]


def _path(path: str) -> str:
    """As --set takes it."""
    return path.removeprefix("spec.")


def _fact(values: Mapping[JobRef, Fact], ref: JobRef) -> str:
    if ref not in values or values[ref] is None:
        return _MISSING
    value = values[ref]
    return str(value).lower() if isinstance(value, bool) else shown(value, 60)


def _results(refs: Sequence[JobRef], scores: Sequence[Score]) -> list[list[object]]:
    by_metric: dict[str, dict[JobRef, Score]] = {}
    for score in scores:
        by_metric.setdefault(score.metric, {})[score.ref] = score
    return [
        [name.removeprefix("validation/"), *(_score(found.get(ref)) for ref in refs)]
        for name, found in by_metric.items()
    ]


def _score(score: Score | None) -> str:
    if score is None or score.value is None:
        return _MISSING
    text = f"{number(score.value)} at {score.step}"
    if score.delta is None:
        return text
    verdict = {True: ", better", False: ", worse", None: ""}[score.is_better]
    return f"{text} ({score.delta:+.3g}{verdict})"


def document(refs: Sequence[JobRef], found: Differences) -> dict[str, Any]:
    """All of it; jobs by their records' folders."""

    def by_job(each: Difference) -> dict[str, Any]:
        return {"path": each.path, "values": {ref.folder: v for ref, v in each.values.items()}}

    return {
        "jobs": [ref.folder for ref in refs],
        "settings": [by_job(each) for each in found.settings],
        "dataset": [by_job(each) for each in found.dataset],
        "unknownData": [ref.folder for ref in found.unknown_data],
        "results": [
            {
                "job": each.ref.folder, "metric": each.metric, "value": each.value,
                "step": each.step, "delta": each.delta, "isBetter": each.is_better,
            }
            for each in found.scores
        ],
    }  # fmt: skip
