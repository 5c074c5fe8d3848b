from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sihl_trainer.data.documents import Entry, number, quoted, read_entries
from sihl_trainer.errors import BadData

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | WORDS | st.integers(-(10**6), 10**6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


def read(folder: Path, text: str, name: str = "annotations.yaml", **options: Any) -> list[Entry]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return list(read_entries(path, **options))


def spelled(value: Any) -> Any:
    """Scalars as they are written; null stays null."""
    if isinstance(value, dict):
        return {key: spelled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [spelled(item) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


@given(document=st.dictionaries(WORDS, VALUES, max_size=4))
def test_json_and_yaml_say_the_same(
    document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("documents")
    in_json = read(folder, json.dumps(document), "a.json")
    in_yaml = read(folder, yaml.safe_dump(document, allow_unicode=True), "a.yaml")
    assert {entry.key: entry.value for entry in in_json} == spelled(document)
    assert {entry.key: entry.value for entry in in_yaml} == spelled(document)


@pytest.mark.parametrize("word", ["no", "on", "007", "1e3", "12:30", "0x10", "2001-01-01", "1.50"])
def test_a_scalar_stays_as_it_is_written(tmp_path: Path, word: str) -> None:
    assert read(tmp_path, f"a.jpg: {word}\n")[0].value == word


@pytest.mark.parametrize("word", ["null", "~", ""])
def test_null_is_null_unless_it_is_quoted(tmp_path: Path, word: str) -> None:
    entries = read(tmp_path, f"a: {word}\nb: '{word}'\n")
    assert [entry.value for entry in entries] == [None, word]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1,\nb: 2\n", "correct what stands there or just before"),
        ("a: [1,\nb: 2\n", "line 3, column 1"),
        ("a: 1\n\tb: 2\n", "line 2, column 1"),
        ("a: &x [1]\nb: *x\n", "line 2, column 4: an alias (*x)"),
        ("<<: {a: 1}\nb: 2\n", "line 1, column 1: a merge key (<<); write out what it stands"),
        ("a: {<<: {b: 1}}\n", "line 1, column 5: a merge key (<<)"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1, column 4: a tag"),
        ("a: 1\nb: 2\na: 3\n", 'line 3, "a": given twice'),
        ("a: {b: 1, b: 2}\n", '"b" is given twice; keep one'),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: a second document, as"),
        ("- a\n", "is no mapping: write it as `key: value`"),
        ("", "is empty: upload it again"),
        ("# nothing\n", "is no mapping: write it as `key: value`"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer: up"),
        ("<!DOCTYPE html>\n<title>Sign in</title>\n", "is a web page: upload the file itself"),
        (
            '"\\ud83d\\ude00.jpg": a\n',
            "as JSON writes characters in two halves: call the file .json",
        ),
        ("BM01.jpg: [\n", "correct what stands there or just before"),
        ("[a, b]: 1\n", "line 1, column 1: a list or mapping as a key; write a plain name"),
        ("a: " + "[" * 40 + "]" * 40, "deep; write it flatter"),
        ("a: \x01", "not valid YAML (unacceptable character"),
    ],
)
def test_what_is_wrong_with_yaml_is_told_with_its_place(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(BadData) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith("annotations.yaml")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '{"a": 1,\n "b" 2}',
            "line 2, column 6: Expecting ':' delimiter: correct what stands there",
        ),
        ('{"a": 1, "a": 2}', '"a": given twice'),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' twice: keep one"),
        ("0.jpg: 1\n", "column 2: JSON would begin with {; if it is YAML, call the file .yaml"),
        ("a.jpg: cat\n", "line 1, column 1: JSON would begin with {; if it is YAML, call the fi"),
        ("[1]", 'is no mapping: write it as `{"key": value}`'),
        ("[" * 100_000, "deep; write it flatter"),
        ('{"0.jpg": 1}\n{"1.jpg": 2}', "line 2, column 1: a second document, as tools write one"),
        ('{"a": "\\ud83d"}', "has half a character in '\\ud83d': write both halves"),
        ('{"\\ude00": 1}', "has half a character in '\\ude00'"),
        ('{"a": {"\\ude00": 1}}', "has half a character in '\\ude00'"),
        ("", "annotations.json is empty: upload it again"),
        ("version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer: upload what it"),
    ],
)
def test_what_is_wrong_with_json_is_told_with_its_place(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(BadData) as caught:
        read(tmp_path, text, "annotations.json")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (["1", "1,5", None], "[1, '1,5', null]"),
        ({"a": ["b"]}, "{a: ['b']}"),
        ("9" * 5000, "9" * 80 + "..."),
        ([["1"] * 99] * 99, "[" + "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1], " * 2 + "[1, 1, 1, 1, ..."),
    ],
)
def test_a_value_is_told_as_a_file_has_it_and_no_longer_than_a_line(value: Any, told: str) -> None:
    assert quoted(value)[:70] == told[:70]
    assert len(quoted(value)) <= 83


def test_true_and_false_are_in_json_what_they_are_in_yaml(tmp_path: Path) -> None:
    entries = read(tmp_path, '{"a": true, "b": [false]}', "a.json")
    assert [entry.value for entry in entries] == ["true", ["false"]]


def test_what_is_no_text_at_all_is_called_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0")
    with pytest.raises(BadData, match=r"a\.yaml is a gzip archive: unpack it, or write YAML"):
        list(read_entries(tmp_path / "a.yaml"))


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: \xff\xfe\xfa\n")
    with pytest.raises(BadData, match=r"a\.yaml is not valid YAML .*: save it as UTF-8 text"):
        list(read_entries(tmp_path / "a.yaml"))


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"has 2\.0 KiB; at most 1\.0 KiB are read: leave out"):
        read(tmp_path, "#" * 2048, limit=1024)


def test_nested_aliases_that_stand_for_gigabytes_are_refused_at_the_first(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 64)]
    with pytest.raises(BadData, match="line 2"):
        read(tmp_path, "\n".join(lines))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("-0.5", -0.5), (".5", 0.5), ("1e3", 1000), ("007", 7), ("+2.", 2),
     ("nan", None), ("inf", None), ("1e999", None), ("1_000", None), ("٣", None), ("", None)],
)  # fmt: skip
def test_a_number_is_finite_and_written_in_decimals(text: str, value: float | None) -> None:
    assert number(text) == value


def test_what_is_no_scalar_is_no_number() -> None:
    assert number(None) is None
    assert number(["1"]) is None
