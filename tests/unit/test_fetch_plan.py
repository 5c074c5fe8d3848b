from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.runtime import ExitCode
from sihl_api.units import quantity
from sihl_trainer.errors import BadConfig, BadData, DiskFull
from sihl_trainer.fetch.bucket import Listing, RemoteObject
from sihl_trainer.fetch.plan import (
    PlannedFile,
    Room,
    bytes_on_disk,
    check_room,
    plan_annotations,
    plan_images,
    plan_metadata,
)

PLACE = "s3://data/cells/"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def listing(*names: str, folders: tuple[str, ...] = (), size: int = 10) -> Listing:
    return Listing({name: RemoteObject(f"k/{name}", size, "", NOW) for name in names}, [*folders])


def files(*sizes: int) -> list[PlannedFile]:
    return [
        PlannedFile(RemoteObject(str(n), size, "", NOW), PurePosixPath("images", str(n)))
        for n, size in enumerate(sizes)
    ]


def test_images_are_known_by_their_suffix_in_any_case() -> None:
    names = ("a.jpg", "b.JPEG", "c.png", "d.tif", "e.TIFF", "f.gif", "g", "notes.txt")
    planned = plan_images(listing(*names), PLACE)
    assert [str(file.path) for file in planned] == [f"images/{name}" for name in names[:5]]


def test_subfolders_of_images_are_ignored() -> None:
    assert len(plan_images(listing("a.jpg", folders=("thumbnails",)), PLACE)) == 1


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=300), max_size=5))
def test_whatever_a_key_is_called_nothing_is_planned_outside_of_images(names: list[str]) -> None:
    try:
        planned = plan_images(listing(*(f"{name}.jpg" for name in names)), PLACE)
    except BadData as error:
        assert error.reason in ("DatasetKeyInvalid", "DatasetEmpty")
        return
    for file in planned:
        assert file.path.parent == PurePosixPath("images")
        assert file.path.name not in (".", "..")


@pytest.mark.parametrize("name", ["a\nb.jpg", "a\0.jpg", "x" * 300 + ".jpg", "../a.jpg", "/a.jpg"])
def test_a_hostile_key_is_refused_by_name(name: str) -> None:
    with pytest.raises(BadData, match="cannot become a file") as caught:
        plan_images(listing(name), PLACE)
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)


@pytest.mark.parametrize("folder", ["..", ".", ""])
def test_a_folder_that_leads_out_of_images_is_refused(folder: str) -> None:
    with pytest.raises(BadData, match="is no folder's name"):
        plan_images(listing("a.jpg", folders=(folder,)), PLACE)


def test_no_images_are_told_with_the_place_and_the_suffixes() -> None:
    told = (
        r"s3://data/cells/images/: 'a.gif' is a GIF image, .*; add some \(\.jpg, .*\), or correct"
    )
    with pytest.raises(BadData, match=told):
        plan_images(listing("a.gif"), PLACE)


@pytest.mark.parametrize(
    ("inside", "beside", "says"),
    [
        (("cat", "dog"), ("images",), r"there are folders in it \(cat, dog\): move the images out"),
        ((), ("0.jpg", "Images.zip"), "there is '0.jpg' beside it: move the images into images/"),
        ((), ("Images",), "there is Images/ beside it: rename that to images/"),
        ((), ("img", "maps"), "there is img/ beside it: rename that to images/"),
    ],
)
def test_images_in_another_folder_are_told_by_its_name(
    inside: tuple[str, ...], beside: tuple[str, ...], says: str
) -> None:
    with pytest.raises(BadData, match=says):
        plan_images(listing(folders=inside), PLACE, beside)


@pytest.mark.parametrize(
    ("names", "folders", "says"),
    [
        (("Metadata.YAML",), ("images",), "'Metadata.YAML' is there: rename it to metadata.yaml"),
        (("metadata.txt",), ("images",), "'metadata.txt' is there: write it as metadata.yaml"),
        ((), ("train", "validation"), "train/ is there: name that folder, which has them"),
        (("cells.zip",), ("a",), "there is cells.zip, a/"),
    ],
)
def test_where_metadata_is_missing_it_is_told_what_there_is(
    names: tuple[str, ...], folders: tuple[str, ...], says: str
) -> None:
    with pytest.raises(BadData) as caught:
        plan_metadata(listing(*names, folders=folders), PLACE, 100)
    assert says in caught.value.message


def test_an_empty_prefix_is_told_with_the_place() -> None:
    with pytest.raises(BadData, match="nothing in s3://data/cells/: upload the dataset there, or"):
        plan_metadata(listing(), PLACE, 100)


def test_missing_metadata_is_told_with_what_was_looked_for() -> None:
    with pytest.raises(BadData, match=r"no metadata\.yaml or .* in s3://data/cells/") as caught:
        plan_metadata(listing("a.txt", folders=("images",)), PLACE, 100)
    assert caught.value.reason == "DatasetMetadataMissing"


def test_metadata_of_an_absurd_size_is_not_fetched() -> None:
    told = r"metadata\.yaml has 101 B; at most 100 B are read: move annotations to a file"
    with pytest.raises(BadData, match=told):
        plan_metadata(listing("metadata.yaml", size=101), PLACE, 100)


def test_annotations_are_a_file_or_the_files_of_a_folder() -> None:
    source = PurePosixPath("labels/masks")
    assert [
        str(file.path) for file in plan_annotations(source, listing("masks"), listing(), PLACE)
    ] == ["labels/masks"]
    assert [
        str(file.path)
        for file in plan_annotations(source, listing("x"), listing("a.png", "b.png"), PLACE)
    ] == ["labels/masks/a.png", "labels/masks/b.png"]
    with pytest.raises(
        BadData, match=r"labels/masks as annotations, but s3://data/cells/ .*: upload it"
    ):
        plan_annotations(source, listing("x"), listing(), PLACE)


@given(st.lists(st.integers(0, 10**6)))
def test_files_take_whole_blocks(sizes: list[int]) -> None:
    total = bytes_on_disk(sizes)
    assert total % 4096 == 0
    assert sum(sizes) <= total <= sum(sizes) + 4095 * len(sizes)


def test_a_dataset_larger_than_dataset_size_is_refused_with_both_numbers() -> None:
    room = Room(limit="20Mi", used=0, present=0, free=2**40, disk=2**41)
    with pytest.raises(BadConfig) as caught:
        check_room(files(25 * 2**20), room, "train")
    assert str(caught.value) == (
        "the train dataset takes 25.0 MiB on disk (1 files), more than runner.datasetSize allows, "
        "20Mi: set runner.datasetSize to 28Mi or more"
    )


def test_both_splits_share_dataset_size() -> None:
    check_room(files(15 * 2**20), Room("20Mi", 0, 0, 2**40, 2**41), "validation")
    with pytest.raises(BadConfig, match=r"beside the 10\.0 MiB already there, more than"):
        check_room(files(15 * 2**20), Room("20Mi", 10 * 2**20, 0, 2**40, 2**41), "validation")


def test_a_dataset_larger_than_the_disk_is_refused_with_both_numbers() -> None:
    with pytest.raises(BadConfig, match=r"takes 3\.0 GiB .* node's disk has only 1\.0 GiB"):
        check_room(files(3 * 2**30), Room("20Gi", 0, 0, 2**30, 2 * 2**30), "train")


def test_a_disk_that_others_have_filled_may_have_room_for_a_later_attempt() -> None:
    with pytest.raises(
        DiskFull, match=r"takes 3\.0 GiB .* node's disk has only 1\.0 GiB"
    ) as caught:
        check_room(files(3 * 2**30), Room("20Gi", 0, 0, 2**30, 100 * 2**30), "train")
    assert caught.value.exit_code is ExitCode.CRASHED  # counted, and tried again


def test_what_is_there_from_before_a_restart_needs_no_room_again() -> None:
    check_room(files(3 * 2**30), Room("20Gi", 0, 2 * 2**30, 2**30, 100 * 2**30), "train")


@given(st.integers(1, 10**13), st.integers(0, 10**12))
def test_the_size_that_the_message_proposes_is_enough(need: int, used: int) -> None:
    try:
        check_room(files(need), Room("1Ki", used, 0, 2**60, 2**61), "train")
    except BadConfig as error:
        proposed = str(error).split("datasetSize to ")[1].split(" ")[0]
        check_room(files(need), Room(proposed, used, 0, 2**60, 2**61), "train")
        assert quantity(proposed) <= (need + used) * 1.2 + 2**30
    else:
        raise AssertionError("1Ki holds no file")
