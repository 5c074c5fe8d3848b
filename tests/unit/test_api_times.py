from __future__ import annotations

import pytest

from sihl_api.times import rfc3339, since_1970


@pytest.mark.parametrize(
    ("to", "text"),
    [
        ("seconds", "2026-01-02T03:04:05Z"),
        ("milliseconds", "2026-01-02T03:04:05.999Z"),
        ("microseconds", "2026-01-02T03:04:05.999500Z"),
    ],
)
def test_a_time_is_cut_and_never_one_that_has_not_come(to: str, text: str) -> None:
    assert rfc3339(since_1970("2026-01-02T03:04:05.9995Z"), to) == text


@pytest.mark.parametrize(
    "text",
    ["1970-01-02T00:00:00", "1970-01-02T00:00:00Z", "1970-01-02T01:00:00+01:00"],
)
def test_a_time_without_a_zone_is_of_utc(text: str) -> None:
    assert since_1970(text) == 86400
