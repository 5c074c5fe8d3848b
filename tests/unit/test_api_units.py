from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.units import human_bytes, human_seconds, quantity, seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1h0m5s", 3605)]
)
def test_a_duration_is_read_as_kubernetes_people_write_it(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "10", "m10", "1d", "-5s", "5s1m"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 90s"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20Gi", Decimal(20 * 1024**3)),
        ("500m", Decimal("0.5")),
        ("2", Decimal(2)),
        (3, Decimal(3)),
        ("1e3", Decimal(1000)),
        ("1.5G", Decimal(1_500_000_000)),
        ("100k", Decimal(100_000)),
        ("4Ki", Decimal(4096)),
    ],
)
def test_a_quantity_is_read_as_kubernetes_reads_it(text: str | int, expected: Decimal) -> None:
    assert quantity(text) == expected


@pytest.mark.parametrize("text", ["", "Gi", "1..2", "12 GB", "1.2.3Gi"])
def test_what_is_no_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        quantity(text)


@given(st.integers(0, 10**7))
def test_a_duration_survives_being_written_and_read(total: int) -> None:
    assert seconds(f"{total // 3600}h{total % 3600 // 60}m{total % 60}s") == total


def test_bytes_and_seconds_are_told_in_the_unit_that_fits() -> None:
    assert [human_bytes(n) for n in (12, 2048, 3 * 1024**3)] == ["12 B", "2.0 KiB", "3.0 GiB"]
    assert [human_seconds(n) for n in (12, 200, 7500)] == ["12s", "3m20s", "2h05m"]
