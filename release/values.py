"""The chart's README, made from the comments and defaults of its values.

Run as `make chart-readme`; a test tells when it is stale.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHART = Path(__file__).parents[1] / "helm"
_KEY = re.compile(r"^( *)([A-Za-z]+):(?: +(.*))?$")
_HEAD = """# sihl's chart

The operator, its dashboard and, where no store of yours is named, a store of its own. The project's
docs/install.md says how it is installed, docs/upgrading.md what an upgrade does.

```sh
helm install sihl sihl-VERSION.tgz -n sihl-system --create-namespace -f my-values.yaml --wait
```

What is not in this table is refused by `values.schema.json`, by its name. Made from `values.yaml`
by `make chart-readme`.

| value | default | |
|---|---|---|
"""


@dataclass(frozen=True)
class Value:
    """A line of values.yaml that sets something.

    Args:
        path: Its name, with dots.
        default: As it is written.
        told: What the comment above it says.
    """

    path: str
    default: str
    told: str


def values(text: str) -> Iterator[Value]:
    """Each value with a default, in the file's order; a group's comment goes to its first."""
    parents: list[tuple[int, str]] = []
    told: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            told.append(line.strip().lstrip("#").strip())
        elif found := _KEY.match(line):
            indent, name, rest = len(found[1]), found[2], (found[3] or "").strip()
            parents = [each for each in parents if each[0] < indent]
            path = ".".join([*(each for _, each in parents), name])
            if rest and not rest.startswith("#"):
                yield Value(path, rest.partition(" #")[0].strip(), " ".join(told))
                told = []
            parents.append((indent, name))
        else:
            told = []  # an empty line: the comment was the file's


def readme(text: str) -> str:
    """Of values.yaml's text."""
    rows = [
        f"| `{each.path}` | `{_cell(each.default)}` | {_cell(each.told)} |" for each in values(text)
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.stdout.write(readme((CHART / "values.yaml").read_text()))
