"""What a request asks for: its path and query, read with patience for nothing that can be none."""

from __future__ import annotations

import math
from typing import TypeVar

from aiohttp import web

from sihl_dashboard.records import Condition, JobRef, Query, QueryError, Spot, View
from sihl_dashboard.records.facts import Fact
from sihl_dashboard.records.logs import MOST_LINES
from sihl_dashboard.server.refusals import BadRequestError, NotThereError

T = TypeVar("T", int, float)

MOST_JOBS = 100
_OPERATORS = {
    "eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
    "contains": "contains", "exists": "exists",
}  # fmt: skip
_AXES = ("step", "images", "time", "clock")


def namespace_of(request: web.Request) -> str:
    """The path's namespace."""
    return request.match_info["namespace"]


def project_of(request: web.Request) -> str:
    """The path's project."""
    return request.match_info["project"]


def ref_of(request: web.Request) -> JobRef:
    """The path's job. Raises NotThereError."""
    return ref(namespace_of(request), project_of(request), request.match_info["job"])


def ref(namespace: str, project: str, folder: str) -> JobRef:
    """A job by its names. Raises NotThereError."""
    try:
        return JobRef(namespace, project, folder)
    except QueryError as error:
        raise NotThereError(str(error)) from None


def listed(request: web.Request, name: str) -> list[str]:
    """A parameter of several values, with commas between; none is an empty list."""
    return list(
        dict.fromkeys(
            each for text in request.query.getall(name, []) for each in text.split(",") if each
        )
    )


def refs_of(request: web.Request, least: int = 1) -> list[JobRef]:
    """The jobs that `jobs` names. Raises BadRequestError, NotThereError."""
    folders = listed(request, "jobs")
    if not least <= len(folders) <= MOST_JOBS:
        raise BadRequestError(
            f"jobs names {len(folders)}, and must name {least} to {MOST_JOBS}",
            "give jobs=<folder>,<folder>",
        )
    return [ref(namespace_of(request), project_of(request), folder) for folder in folders]


def number(request: web.Request, name: str, kind: type[T], default: T | None = None) -> T | None:
    """A number, finite. Raises BadRequestError."""
    text = request.query.get(name, "")
    if not text:
        return default
    try:
        found = kind(text)
        if len(text) > 40 or not math.isfinite(found):
            raise ValueError
    except (ValueError, OverflowError):
        raise BadRequestError(f"{name} is no number", "give a number") from None
    return found


def count_of(request: web.Request, default: int, most: int = MOST_LINES) -> int:
    """`count`, held to what one answer may have. Raises BadRequestError."""
    found = number(request, "count", int, default)
    return max(1, min(found if found is not None else default, most))


def choice(request: web.Request, name: str, choices: tuple[str, ...]) -> str:
    """One of several words; the first by default. Raises BadRequestError."""
    text = request.query.get(name) or choices[0]
    if text not in choices:
        raise BadRequestError(f"{name} is none of {', '.join(choices)}", f"give one of {choices}")
    return text


def attempt_of(request: web.Request) -> int | None:
    """`attempt`; None is all of them. Raises BadRequestError."""
    return number(request, "attempt", int)


def spot_of(text: str, start: Spot, end: Spot) -> Spot:
    """A place in a log: START, END or attempt:offset. Raises BadRequestError."""
    if text in ("START", "END"):
        return start if text == "START" else end
    attempt, _, offset = text.partition(":")
    if not (attempt.isdecimal() and offset.isdecimal() and text.isascii() and len(text) < 40):
        raise BadRequestError("from is no place in a log", "give START, END or attempt:offset")
    return Spot(int(attempt), int(offset))


def fact(text: str) -> Fact:
    """A value of a condition: a number if it is one, a truth value, else a text."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            found = kind(text)
        except ValueError:
            continue
        if math.isfinite(found) and abs(found) < 2**63:
            return found
    return text


def query_of(request: web.Request, most: int = 10_000) -> Query:
    """Columns, conditions, order. Raises BadRequestError, QueryError."""
    conditions = []
    for text in request.query.getall("where", []):
        path, operator, value = _condition(text)
        conditions.append(Condition(path, operator, value))  # type: ignore[arg-type]
    sort = request.query.get("sort") or "-job.createdAt"
    columns = listed(request, "columns")
    limit, offset = number(request, "limit", int, 1000), number(request, "offset", int, 0)
    return Query(
        **({"columns": tuple(columns)} if columns else {}),
        conditions=tuple(conditions),
        order_by=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        limit=min(limit or 0, most),
        offset=offset or 0,
    )


def _condition(text: str) -> tuple[str, str, Fact]:
    """`path:operator:value`; paths have colons too (validation/boxes/map:best)."""
    parts = text.split(":")
    for place in range(1, len(parts)):
        operator = _OPERATORS.get(parts[place])
        if operator:
            value = fact(":".join(parts[place + 1 :]))
            return ":".join(parts[:place]), operator, value
    raise BadRequestError(
        "where is no condition", f"give path:operator:value, with one of {', '.join(_OPERATORS)}"
    )


def view_of(request: web.Request) -> View:
    """What to draw. Raises BadRequestError, QueryError."""
    metrics = listed(request, "metrics")
    return View(
        axis=choice(request, "axis", _AXES),  # type: ignore[arg-type]
        buckets=number(request, "buckets", int, 500) or 0,
        first=number(request, "first", float),
        last=number(request, "last", float),
        smoothing=number(request, "smoothing", float, 0.0) or 0.0,
        metrics=metrics or None,
        ghosts=request.query.get("ghosts", "1") not in ("0", "false"),
    )
