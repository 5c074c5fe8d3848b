"""Lines of metrics become the same columns however many are taken at a time."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from sihl_dashboard.records.measured import Measured

NAMES = st.sampled_from(["loss", "boxes/map", "a", "\ud800"])
VALUES = st.one_of(
    st.floats(), st.integers(-5, 5), st.sampled_from(["NaN", "Infinity", "x", None, True, 10**400])
)
LINES = st.fixed_dictionaries(
    {
        "step": st.one_of(st.integers(0, 20), st.sampled_from([-1, 10**10, 1.5, True, "1", None])),
        "kind": st.sampled_from(["train", "train", "validation", "other", None, ["train"]]),
        "values": st.one_of(st.dictionaries(NAMES, VALUES, max_size=3), st.none()),
    },
    optional={"time": st.sampled_from(["2026-01-02T03:00:00Z", "yesterday", None, 5])},
)
PLAIN = st.fixed_dictionaries(
    {
        "time": st.just("2026-01-02T03:00:00Z"),
        "step": st.integers(0, 20),
        "kind": st.sampled_from(["train", "validation"]),
        "values": st.dictionaries(NAMES, st.floats(allow_nan=False), min_size=1, max_size=2),
    }
)


class OneByOne(Measured):
    """Looks at each line by itself."""

    def _add_all(self, lines: list[Any]) -> bool:
        return False


def told(measured: Measured) -> Any:
    """What it holds, so that NaN equals itself."""
    columns = {
        key: (list(column.lines), np.array(column.values).tobytes())
        for key, column in measured.columns.items()
    }
    times = np.array(measured.times).tobytes()
    return list(measured.steps), times, columns, measured.taken, measured.unreadable


@given(st.one_of(st.lists(LINES, max_size=8), st.lists(PLAIN, max_size=12)), st.integers(1, 8))
@example([{"step": 1, "kind": "train", "values": {}}], 1)
def test_lines_are_the_same_columns_however_many_come_at_once(lines: list[Any], size: int) -> None:
    texts = [json.dumps(line).encode() + b"\n" for line in lines]
    singly, together = OneByOne(), Measured()
    singly.add(b"".join(texts))
    for start in range(0, len(texts), size):
        together.add(b"".join(texts[start : start + size]))
    assert told(together) == told(singly)
