"""What is refused of a job's YAML, and how."""

from __future__ import annotations

import pytest
import yaml

from sihl_api.manifest import Loader


@pytest.mark.parametrize(
    ("text", "told", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key a stands there twice", 3),
        ("a:\n  b: 1\n  b: 1\n", "the key b stands there twice", 3),
        ("a: &a\n  b: *a\n", "*a contains itself", 2),
        ("&a [[*a]]\n", "*a contains itself", 1),
        ("a: " + "[" * 3000, "it is nested too deep", 1),
        ("a: 1\nb: 2020-13-45\n", "month must be in 1..12", 2),
        ("a: " + "9" * 5000, "Exceeds the limit", 1),
        ("a: !!timestamp x\n", "", 1),
        ("a: !!int x\n", "invalid literal for int()", 1),
    ],
)
def test_what_is_none_is_an_error_of_yaml_with_its_line(text: str, told: str, line: int) -> None:
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        yaml.load(text, Loader)
    assert told in str(caught.value.problem)
    assert caught.value.problem_mark is not None
    assert caught.value.problem_mark.line + 1 == line


def test_what_kubectl_takes_is_taken() -> None:
    text = "a: &a {b: 1e-3, c: 2}\nd: {<<: *a, c: 3}\ne: [*a, *a]\nf: {1: x, '1': y}\n"
    found = yaml.load(text, Loader)
    assert found["d"] == {"b": 0.001, "c": 3}
    assert found["e"] == [{"b": 0.001, "c": 2}] * 2
    assert yaml.load("a" + ": [b" * 40 + "]" * 40, Loader)
