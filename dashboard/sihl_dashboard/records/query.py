"""Which jobs of a project, which columns of them, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sihl_dashboard.records.errors import QueryError, printable
from sihl_dashboard.records.facts import Fact

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "contains", "exists"]
_MOST = 100


@dataclass(frozen=True)
class Condition:
    """What a job must have.

    Args:
        path: Of a fact, as in `facts`.
        operator: `contains` looks for a text in it, `exists` takes True or False.
        value: What to compare with; a job that lacks the fact meets `!=` and no other.
    """

    path: str
    operator: Operator
    value: Fact


@dataclass(frozen=True)
class Query:
    """What to list.

    Args:
        columns: Paths of facts, as in `facts`.
        conditions: All of them must hold.
        order_by: A path; jobs that lack it come last.
        descending: The greatest first.
        limit: Of how many, and from which one on.
    """

    columns: tuple[str, ...] = ("job.state", "job.step", "job.maxSteps", "job.createdAt")
    conditions: tuple[Condition, ...] = ()
    order_by: str = "job.createdAt"
    descending: bool = True
    limit: int = 1000
    offset: int = 0

    def __post_init__(self) -> None:
        if len(self.columns) > _MOST or len(self.conditions) > _MOST:
            raise QueryError(f"at most {_MOST} columns and conditions at a time")
        if not (0 <= self.limit < 2**31 and 0 <= self.offset < 2**31):
            raise QueryError("limit and offset are counts")


def is_column(path: str) -> bool:
    """Whether SQLite can name it."""
    return path.isprintable() and not any(c in '"\\' for c in path) and len(path) <= 1000


def column_path(path: str) -> str:
    """A fact's place in the JSON that holds them.

    Raises:
        QueryError: none that could be.
    """
    if not is_column(path):
        raise QueryError(f"{printable(path)!r} is no column")
    return f'$."{path}"'


def where(query: Query) -> tuple[list[str], list[Fact]]:
    """Conditions in SQL, and the values of their question marks.

    Raises:
        QueryError: one can be none.
    """
    told: list[str] = []
    values: list[Fact] = []
    for condition in query.conditions:
        path, operator, value = column_path(condition.path), condition.operator, condition.value
        if operator not in get_args(Operator):
            raise QueryError(f"{printable(operator)!r} is none of {', '.join(get_args(Operator))}")
        if operator == "exists":
            told.append(f"json_type(facts, ?) IS {'NOT ' if value else ''}NULL")
            values.append(path)
        elif operator == "contains":
            told.append("instr(lower(json_extract(facts, ?)), lower(?)) > 0")
            values += [path, str(value)]
        else:
            spelled = {"=": "IS", "!=": "IS NOT"}.get(operator, operator)
            told.append(f"json_extract(facts, ?) {spelled} ?")
            values += [path, value]
    return told, values


def ordering(query: Query) -> tuple[str, list[Fact]]:
    """The order in SQL, and the values of its question marks but for limit and offset."""
    path = column_path(query.order_by)
    direction = "DESC" if query.descending else "ASC"
    return (
        f"ORDER BY json_extract(facts, ?) {direction} NULLS LAST, folder LIMIT ? OFFSET ?",
        [path],
    )
