from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sihl_api.model import Head
from sihl_trainer.dataset.feeds import Split, open_split
from sihl_trainer.dataset.holdout import hold_out, split
from sihl_trainer.errors import BadData
from tests.support.datasets import BOX_HEAD, CLASS_HEAD, write
from tests.support.training import METADATA

NAMES = st.lists(st.text("abc0123", min_size=1), unique=True, min_size=2, max_size=50)


@given(NAMES, st.floats(0.01, 0.99), st.integers(0, 2**31 - 1), st.randoms())
def test_a_split_follows_from_seed_and_names_whatever_their_order(
    names: list[str], fraction: float, seed: int, random: object
) -> None:
    train, validation = split(names, fraction, seed)
    assert sorted(train + validation) == sorted(names)
    assert train
    assert validation
    assert abs(len(validation) - fraction * len(names)) <= 1
    random.shuffle(names)  # type: ignore[attr-defined]
    assert split(names, fraction, seed) == (train, validation)


def test_another_seed_makes_another_split() -> None:
    names = [str(number) for number in range(100)]
    assert split(names, 0.5, 0) != split(names, 0.5, 1)


def partly(folder: Path, boxes: set[int], pets: set[int]) -> Split:
    """A dataset whose two sets annotate these images."""
    count = max(boxes | pets) + 1
    files = {f"images/{number}.jpg": b"" for number in range(count)}
    write(
        folder,
        files
        | {
            "metadata.yaml": METADATA.encode(),
            "boxes.yaml": "".join(f"{number}.jpg: []\n" for number in boxes).encode(),
            "pet.yaml": "".join(f"{number}.jpg: cat\n" for number in pets).encode(),
        },
    )
    heads = [BOX_HEAD | {"annotations": "boxes"}, CLASS_HEAD | {"annotations": "pet"}]
    return open_split(folder, [Head.model_validate(head) for head in heads])


@pytest.mark.parametrize("few", [2, 5, 20])
def test_a_set_that_annotates_few_images_has_some_in_training_and_some_in_validation(
    tmp_path: Path, few: int
) -> None:
    opened = partly(tmp_path, boxes=set(range(300)), pets=set(range(few)))
    pets = set(opened.sets["pet"].names)
    for seed in range(50):
        learnt, held_out = hold_out(opened, 0.1, seed)
        assert sorted(learnt + held_out) == opened.annotated
        assert pets & set(learnt)
        assert pets & set(held_out)
        assert abs(len(held_out) - 30) <= 2


def test_where_all_sets_annotate_the_same_images_they_are_split_as_one(tmp_path: Path) -> None:
    opened = partly(tmp_path, boxes=set(range(50)), pets=set(range(50)))
    assert hold_out(opened, 0.2, 7) == split(opened.annotated, 0.2, 7)


@pytest.mark.parametrize("boxes", [{0}, {0, 1, 2, 3}])
def test_too_few_images_to_have_some_in_both_are_told_by_their_annotations(
    tmp_path: Path, boxes: set[int]
) -> None:
    opened = partly(tmp_path, boxes=boxes, pets={0})
    told = r"annotated in '(boxes|pet)' \(1\) to be split .* spec\.dataset\.validation"
    with pytest.raises(BadData, match=told):
        hold_out(opened, 0.5, 0)


@settings(max_examples=40)
@given(st.sets(st.integers(0, 30), min_size=1), st.sets(st.integers(0, 30), min_size=1))
def test_whatever_is_annotated_both_have_their_share_or_it_is_refused(
    tmp_path_factory: pytest.TempPathFactory, boxes: set[int], pets: set[int]
) -> None:
    opened = partly(tmp_path_factory.mktemp("dataset"), boxes, pets)
    try:
        learnt, held_out = hold_out(opened, 0.25, 0)
    except BadData:
        # Fewer than two images alike, of any kind that one of the sets annotates.
        kinds = [boxes & pets, boxes - pets, pets - boxes]
        assert any(all(len(kind & each) < 2 for kind in kinds) for each in (boxes, pets))
        return
    for kind in opened.sets.values():
        assert set(kind.names) & set(learnt)
        assert set(kind.names) & set(held_out)
