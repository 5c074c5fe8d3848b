"""Metadata and annotations as documents: YAML or JSON mappings, read entry by entry.

YAML is read from the parser's events and not by a loader, because a loader would build every node
of a file with a million boxes at once, would expand aliases (a few lines can stand for gigabytes),
and would forget on which line an entry stood. Scalars stay as they are written, but for null: a
category may be called `no`, `007` or `1e3`, and who wants a number asks `number` for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import yaml

from sihl_api.units import human_bytes
from sihl_trainer.data import kinds
from sihl_trainer.errors import BadData

Value: TypeAlias = "str | list[Value] | dict[str, Value] | None"
"""What a document is made of; numbers as they are written."""

METADATA_LIMIT = 16 * 2**20
ANNOTATIONS_LIMIT = 2 * 2**30
_MAX_DEPTH = 16
_TOO_DEEP = f"nested more than {_MAX_DEPTH} deep; write it flatter"
_HALF = re.compile("[\ud800-\udfff]")
_EXTRA = "Extra data"
_SECOND = "a second document, as tools write one for each image; join it to the first"
_NO_JSON = "JSON would begin with {; if it is YAML, call the file .yaml"
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_LONGEST_SHOWN, _MOST_SHOWN = 80, 10
_MERGE = "<<"
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Entry:
    """One entry of a document's mapping, and the line on which it stands (None in JSON)."""

    key: str
    value: Value
    line: int | None = None

    @property
    def place(self) -> str:
        """Where the entry stands, for a message: `line 3, "000.jpg"`."""
        return f'line {self.line}, "{self.key}"' if self.line else f'"{self.key}"'


def read_entries(path: Path, limit: int = ANNOTATIONS_LIMIT) -> Iterator[Entry]:
    """The entries of the mapping in a YAML or (by its suffix) JSON file, in order.

    Raises:
        BadData: Too large, malformed, not a mapping, an alias, or a key given twice; or no text
            at all. The message names the file and, for YAML, line and column.
    """
    size = path.stat().st_size
    if size > limit:
        raise BadData(
            "DatasetFileTooLarge",
            f"{path.name} has {human_bytes(size)}; at most {human_bytes(limit)} are read: leave "
            "out what no head needs",
        )
    read = _read_json if path.suffix.lower() == ".json" else _read_yaml
    try:
        yield from _distinct(path, read(path))
    except BadData:
        # Asked only now, since a text may begin as something else does.
        if told := kinds.no_document(path):
            raise BadData("DatasetMalformed", f"{path.name} {told}") from None
        raise


def _distinct(path: Path, entries: Iterator[Entry]) -> Iterator[Entry]:
    seen: set[str] = set()
    for entry in entries:
        if entry.key in seen:
            raise BadData(
                "DatasetMalformed", f"{path.name}, {entry.place}: given twice; keep one of the two"
            )
        seen.add(entry.key)
        yield entry


def number(value: Value) -> float | None:
    """The finite number that a value is written as, or None where it is none."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return None
    result = float(value)
    return result if isfinite(result) else None


def quoted(value: Value) -> str:
    """A value for a message: as a file has it, and no longer than a line."""
    text = _flow(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _flow(value: Value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value[:_MOST_SHOWN]))}]"
    if isinstance(value, dict):
        pairs = list(value.items())[:_MOST_SHOWN]
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in pairs) + "}"
    if value is None:
        return "null"
    return value if _NUMBER.fullmatch(value) else f"{value[: 2 * _LONGEST_SHOWN]!r}"


# --- JSON ------------------------------------------------------------------------------------


def _read_json(path: Path) -> Iterator[Entry]:
    try:
        document = json.loads(
            path.read_bytes(),
            object_pairs_hook=_Pairs,
            parse_int=str,
            parse_float=str,
            parse_constant=str,
        )
    except json.JSONDecodeError as error:
        begins = error.doc.lstrip().startswith(("{", "["))
        told = _malformed if error.msg == _EXTRA or not begins else _unparsed
        problem = _NO_JSON if not begins else _SECOND if error.msg == _EXTRA else error.msg
        raise told(path, error.lineno, error.colno, problem) from None
    except RecursionError:
        raise _too_deep(path) from None
    except ValueError as error:
        raise BadData(
            "DatasetMalformed", f"{path.name} is not valid JSON ({error}): save it as UTF-8 text"
        ) from None
    if not isinstance(document, _Pairs):
        raise _not_a_mapping(path, '{"key": value}')
    for key, value in document:
        yield Entry(_whole(path, key), _unpaired(path, value))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys as they stand, so that one given twice is seen."""


def _unpaired(path: Path, value: Any, depth: int = 1) -> Value:
    if depth > _MAX_DEPTH and isinstance(value, list):
        raise _too_deep(path)
    if isinstance(value, _Pairs):
        pairs: dict[str, Value] = {}
        for key, item in value:
            if _whole(path, key) in pairs:
                raise BadData(
                    "DatasetMalformed",
                    f"{path.name}: an object has the key {key!r} twice: keep one of the two",
                )
            pairs[key] = _unpaired(path, item, depth + 1)
        return pairs
    if isinstance(value, list):
        return [_unpaired(path, item, depth + 1) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else _whole(path, str(value))


def _whole(path: Path, text: str) -> str:
    if not text.isascii() and _HALF.search(text):
        raise BadData(
            "DatasetMalformed",
            f"{path.name} has half a character in {text[:_LONGEST_SHOWN]!a}: write "
            "both halves (\\ud83d\\ude00), or the character itself",
        )
    return text


# --- YAML ------------------------------------------------------------------------------------


def _read_yaml(path: Path) -> Iterator[Entry]:
    with path.open("rb") as file:
        try:
            yield from _YamlEvents(path, file).entries()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            problem = error.problem or "not YAML"
            if "character escape code" in problem:
                problem += ", as JSON writes characters in two halves: call the file .json"
            raise _unparsed(path, line, column, problem) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            text = " ".join(str(error).split())
            raise BadData(
                "DatasetMalformed", f"{path.name} is not valid YAML ({text}): save it as UTF-8 text"
            ) from None


class _YamlEvents:
    """Builds plain values from a parser's events."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.next = _Loader(file).get_event

    def entries(self) -> Iterator[Entry]:
        """The entries of the document's mapping."""
        self.next()  # start of the stream
        if not isinstance(self.next(), yaml.DocumentStartEvent) or not isinstance(
            self.next(), yaml.MappingStartEvent
        ):
            raise _not_a_mapping(self.path, "key: value")
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            yield Entry(self.key(event), self.value(self.next(), depth=1), line)
        self.next()  # end of the document
        if not isinstance(event := self.next(), yaml.StreamEndEvent):
            raise self.refused(event, _SECOND)

    def key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self.refused(event, "a list or mapping as a key; write a plain name")
        self.refuse_references(event)
        if event.implicit[0] and event.value == _MERGE:
            raise self.refused(event, "a merge key (<<); write out what it stands for")
        return event.value

    def value(self, event: Any, depth: int) -> Value:
        self.refuse_references(event)
        if isinstance(event, yaml.ScalarEvent):
            return None if event.implicit[0] and event.value in _NULLS else str(event.value)
        if depth > _MAX_DEPTH:
            raise self.refused(event, _TOO_DEEP)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Value] = []
            while not isinstance(event := self.next(), yaml.SequenceEndEvent):
                items.append(self.value(event, depth + 1))
            return items
        mapping: dict[str, Value] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            key = self.key(event)
            if key in mapping:
                raise self.refused(event, f'"{key}" is given twice; keep one of the two')
            mapping[key] = self.value(self.next(), depth + 1)
        return mapping

    def refuse_references(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise self.refused(event, f"an alias (*{event.anchor}); write the value out")
        if getattr(event, "tag", None) not in (None, "!"):
            raise self.refused(event, f"a tag ({event.tag[:80]}); leave it out")

    def refused(self, event: Any, why: str) -> BadData:
        return _malformed(self.path, event.start_mark.line + 1, event.start_mark.column + 1, why)


def _malformed(path: Path, line: int, column: int, why: str) -> BadData:
    return BadData("DatasetMalformed", f"{path.name}, line {line}, column {column}: {why}")


def _unparsed(path: Path, line: int, column: int, problem: str) -> BadData:
    # A parser stumbles where a fault shows, which is often after it.
    return _malformed(path, line, column, f"{problem}: correct what stands there or just before")


def _too_deep(path: Path) -> BadData:
    return BadData("DatasetMalformed", f"{path.name}: {_TOO_DEEP}")


def _not_a_mapping(path: Path, example: str) -> BadData:
    return BadData("DatasetMalformed", f"{path.name} is no mapping: write it as `{example}`")
