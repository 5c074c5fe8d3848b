"""The chart's README says what its values do."""

from __future__ import annotations

import yaml

from release.values import CHART, readme, values

TEXT = (CHART / "values.yaml").read_text()


def test_the_readme_is_made_from_the_values() -> None:
    assert (CHART / "README.md").read_text() == readme(TEXT), "run `make chart-readme`"


def test_each_value_is_told_with_its_default() -> None:
    shown = yaml.safe_load(TEXT)
    found = list(values(TEXT))
    for each in found:
        inner = shown
        for name in each.path.split("."):
            inner = inner[name]
        assert yaml.safe_load(each.default) == inner, each.path
        assert each.told, f"{each.path} has no comment"
    assert {each.path.split(".")[0] for each in found} == set(shown)


def test_a_comment_goes_to_the_value_below_it() -> None:
    text = "# The file's.\n\n# Of a.\na:\n  # Of b,\n  # at length.\n  b: 1 # not told\n  c: []\n"
    assert [(each.path, each.default, each.told) for each in values(text)] == [
        ("a.b", "1", "Of a. Of b, at length."),
        ("a.c", "[]", ""),
    ]
