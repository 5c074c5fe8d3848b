"""Which objects of a record hold each line once, and what tells one dataset from another."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.fingerprint import AnnotationsFingerprint, DatasetFingerprint, SplitFingerprint
from sihl_api.record import JobRecord, RecordPaths, segments_of, to_read
from tests.support.datasets import job

PATHS = RecordPaths("", "team", "cells", "night", "0123456789abcdef")


@st.composite
def listings(draw: st.DrawFn) -> tuple[int, list[str]]:
    """How many segments were written, and what is there of them and of their sums.

    Each sum begins where the one before ended, and had shorter ones; of all that a sum holds, any
    part may still be there.
    """
    ends = sorted(draw(st.sets(st.integers(0, 30), max_size=4)))
    written = draw(st.integers(ends[-1] + 1 if ends else 0, 40))
    keys = [PATHS.log(1, number) for number in range(ends[-1] + 1 if ends else 0, written)]
    left: list[str] = []
    for before, last in pairwise([-1, *ends]):
        keys.append(PATHS.log(1, before + 1, last))
        left += [PATHS.log(1, number) for number in range(before + 1, last + 1)]
        left += [PATHS.log(1, before + 1, shorter) for shorter in range(before + 2, last)]
    kept = draw(st.lists(st.sampled_from(left), unique=True)) if left else []
    return written, draw(st.permutations([*keys, *kept]))


@given(listings())
def test_each_segment_is_read_once_and_in_order_whatever_a_merge_left(
    listing: tuple[int, list[str]],
) -> None:
    written, keys = listing
    read = [segments_of(key) or (0, -1) for key in to_read(keys)]
    numbers = [number for first, last in read for number in range(first, last + 1)]
    assert numbers == list(range(written))


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("metrics-000003.jsonl", (3, 3)),
        ("log-000003-000019.txt", (3, 19)),
        ("log-1000000-1000001.txt", (1_000_000, 1_000_001)),
        ("log-000019-000003.txt", None),
        ("result.json", None),
        ("metrics-old.jsonl", None),
        ("metrics-000003.jsonl.bak", None),
    ],
)
def test_an_object_says_by_its_name_which_segments_it_holds(
    name: str, held: tuple[int, int] | None
) -> None:
    assert segments_of(PATHS.attempt(1) + name) == held
    assert to_read([PATHS.attempt(1) + name]) == ([PATHS.attempt(1) + name] if held else [])


def test_an_older_record_says_nothing_of_its_dataset() -> None:
    older = {"namespace": "team", "name": "night", "uid": "u", "createdAt": "2026-01-02T03:04:05Z"}
    record = JobRecord.model_validate({**older, "spec": job().model_dump(by_alias=True)})
    assert record.dataset is None
    assert record.submitted_at is None


def test_a_datasets_digest_is_of_what_it_holds() -> None:
    def split(counts: dict[str, int], images: int = 2) -> SplitFingerprint:
        found = AnnotationsFingerprint(digest="d", task="t", images=2, counts=counts)
        return SplitFingerprint(images=images, bytes=9, objects="o", annotations={"boxes": found})

    one = DatasetFingerprint(train=split({"cat": 1, "dog": 2}))
    assert one.digest == DatasetFingerprint(train=split({"dog": 2, "cat": 1})).digest
    others = [
        DatasetFingerprint(train=split({"cat": 1, "dog": 2}, images=3)),
        DatasetFingerprint(train=split({"cat": 2, "dog": 1})),
        DatasetFingerprint(train=one.train, validation=one.train),
    ]
    assert len({each.digest for each in [one, *others]}) == 4
