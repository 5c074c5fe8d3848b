from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sihl_api.model import Initialization, InitializationFrom
from sihl_api.record import MANIFEST, checkpoint_of
from sihl_api.status import CheckpointStatus
from sihl_trainer.errors import BadConfig, Unavailable
from sihl_trainer.record.checkpoints import (
    remove_superseded,
    restore_latest,
    standing_checkpoints,
)
from sihl_trainer.record.folders import TornFolderError, download_folder, upload_folder
from sihl_trainer.record.models import (
    complete_model,
    download_initial,
    model_status,
    upload_model,
)
from sihl_trainer.record.store import FolderStore, MissingObjectError, Store
from tests.support.records import PATHS, make_folder

FILES = {"model.safetensors": b"weights" * 1000, "state.json": b'{"step": 1}'}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def put_checkpoint(store: Store, tmp_path: Path, step: int, attempt: int) -> str:
    local = make_folder(tmp_path / f"local-{step}-{attempt}", FILES, step, attempt)
    prefix = PATHS.checkpoint(attempt, step)
    upload_folder(store, local, prefix)
    return prefix


def test_a_folder_comes_back_as_it_went(store: FolderStore, tmp_path: Path) -> None:
    upload_folder(store, make_folder(tmp_path / "a", FILES), "x/")
    download_folder(store, "x/", tmp_path / "b")
    for name in (*FILES, MANIFEST):
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "a" / name).read_bytes()


def test_the_manifest_is_the_last_to_be_written(tmp_path: Path) -> None:
    written: list[str] = []

    class Watched(FolderStore):
        def put(self, key: str, data: bytes) -> None:
            written.append(key)
            super().put(key, data)

        def upload(self, key: str, path: Path) -> None:
            written.append(key)
            super().upload(key, path)

    upload_folder(Watched(tmp_path / "store"), make_folder(tmp_path / "a", FILES), "x/")
    assert written[-1] == f"x/{MANIFEST}"
    assert len(written) == len(FILES) + 1


def test_a_folder_that_changed_on_this_machine_is_not_uploaded_as_whole(
    store: FolderStore, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "a", FILES)
    (folder / "state.json").write_bytes(b"")
    with pytest.raises(TornFolderError, match=r"state\.json has 0 bytes"):
        upload_folder(store, folder, "x/")
    with pytest.raises(MissingObjectError):
        store.get(f"x/{MANIFEST}")


def test_no_manifest_leads_out_of_its_folder(store: FolderStore, tmp_path: Path) -> None:
    upload_folder(store, make_folder(tmp_path / "a", FILES), "x/")
    path = store.root / "x" / MANIFEST
    path.write_text(path.read_text().replace("state.json", "../state.json"))
    with pytest.raises(TornFolderError, match="outside its folder"):
        download_folder(store, "x/", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_the_later_step_wins_then_the_later_attempt(store: FolderStore, tmp_path: Path) -> None:
    for step, attempt in [(30, 1), (100, 1), (100, 3), (20, 4)]:
        put_checkpoint(store, tmp_path, step, attempt)
    order = [(s.step, prefix) for prefix, s in standing_checkpoints(store, PATHS)]
    assert order == [
        (100, PATHS.checkpoint(3, 100)),
        (100, PATHS.checkpoint(1, 100)),
        (30, PATHS.checkpoint(1, 30)),
        (20, PATHS.checkpoint(4, 20)),
    ]


def test_the_latest_whole_checkpoint_is_restored(store: FolderStore, tmp_path: Path) -> None:
    for step in (10, 20):
        put_checkpoint(store, tmp_path, step, 1)
    told: list[CheckpointStatus | None] = []
    restored = restore_latest(store, PATHS, tmp_path / "resume", told.append)
    assert restored is not None
    assert restored.status.step == 20
    assert restored.status.uri == store.uri(PATHS.checkpoint(1, 20).rstrip("/"))
    assert (tmp_path / "resume" / "state.json").read_bytes() == FILES["state.json"]
    assert told == [restored.status]


def test_without_a_checkpoint_there_is_nothing_to_restore(
    store: FolderStore, tmp_path: Path
) -> None:
    told: list[CheckpointStatus | None] = []
    assert restore_latest(store, PATHS, tmp_path / "resume", told.append) is None
    assert told == [None]


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove(path: Path) -> None:
    path.unlink()


DAMAGES = [
    *((damage, name) for damage in (cut_off, empty, flip_a_bit, remove) for name in FILES),
    (cut_off, MANIFEST),
    (empty, MANIFEST),
]


@pytest.mark.parametrize(("damage", "name"), DAMAGES)
def test_a_torn_checkpoint_is_skipped_for_the_one_before(
    store: FolderStore,
    tmp_path: Path,
    damage: Callable[[Path], None],
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put_checkpoint(store, tmp_path, 10, 1)
    damage(store.root / put_checkpoint(store, tmp_path, 20, 2) / name)
    with caplog.at_level(logging.WARNING):
        restored = restore_latest(store, PATHS, tmp_path / "resume")
    assert restored is not None
    assert restored.status.step == 10
    assert "Skipping a torn checkpoint" in caplog.text


def test_a_checkpoint_without_manifest_does_not_exist(store: FolderStore, tmp_path: Path) -> None:
    put_checkpoint(store, tmp_path, 10, 1)
    remove(store.root / put_checkpoint(store, tmp_path, 20, 2) / MANIFEST)
    assert [status.step for _, status in standing_checkpoints(store, PATHS)] == [10]


def test_a_manifest_of_another_step_than_its_folders_is_torn(
    store: FolderStore, tmp_path: Path
) -> None:
    upload_folder(
        store, make_folder(tmp_path / "a", FILES, step=9, attempt=1), PATHS.checkpoint(1, 10)
    )
    assert list(standing_checkpoints(store, PATHS)) == []


def test_a_resume_folder_of_before_is_replaced(store: FolderStore, tmp_path: Path) -> None:
    put_checkpoint(store, tmp_path, 10, 1)
    (tmp_path / "resume").mkdir()
    (tmp_path / "resume" / "left-over").write_bytes(b"")
    restore_latest(store, PATHS, tmp_path / "resume")
    assert not (tmp_path / "resume" / "left-over").exists()


# --- checkpoints that nobody needs any more -------------------------------------------------


def kept(store: Store) -> list[tuple[int, int]]:
    """(step, attempt) of the checkpoints of which anything is left, the oldest first."""
    found = {at for o in store.objects(PATHS.attempts) if (at := checkpoint_of(o.key))}
    return sorted(found)


@pytest.mark.parametrize(
    ("there", "saved", "left"),
    [
        ([(10, 1)], (10, 1), [(10, 1)]),
        ([(10, 1), (20, 1)], (20, 1), [(10, 1), (20, 1)]),
        ([(10, 1), (20, 1), (30, 1)], (30, 1), [(20, 1), (30, 1)]),
        ([(10, 1), (20, 1), (30, 2)], (30, 2), [(20, 1), (30, 2)]),
        ([(30, 1), (30, 2), (40, 2)], (40, 2), [(30, 2), (40, 2)]),
        # The node of attempt 1 was lost, and comes back; attempt 2 went on from step 20.
        ([(10, 1), (20, 1), (30, 2), (40, 2), (50, 1)], (50, 1),
         [(20, 1), (30, 2), (40, 2), (50, 1)]),
        ([(20, 1), (30, 2), (40, 2), (50, 1)], (40, 2), [(30, 2), (40, 2), (50, 1)]),
    ],
)  # fmt: skip
def test_an_attempt_keeps_its_newest_checkpoint_and_the_one_before_it(
    store: FolderStore,
    tmp_path: Path,
    there: list[tuple[int, int]],
    saved: tuple[int, int],
    left: list[tuple[int, int]],
) -> None:
    for step, attempt in there:
        put_checkpoint(store, tmp_path, step, attempt)
    remove_superseded(store, PATHS, attempt=saved[1], step=saved[0])
    assert kept(store) == left


@pytest.mark.parametrize(("damage", "name"), [(remove, MANIFEST), (cut_off, "model.safetensors")])
def test_a_torn_checkpoint_is_not_the_one_that_is_kept(
    store: FolderStore, tmp_path: Path, damage: Callable[[Path], None], name: str
) -> None:
    for step in (10, 20, 40):
        put_checkpoint(store, tmp_path, step, 1)
    damage(store.root / put_checkpoint(store, tmp_path, 30, 1) / name)
    remove_superseded(store, PATHS, attempt=1, step=40)
    assert kept(store) == [(20, 1), (30, 1), (40, 1)]
    put_checkpoint(store, tmp_path, 50, 1)
    remove_superseded(store, PATHS, attempt=1, step=50)
    assert kept(store) == [(40, 1), (50, 1)]


def test_nothing_is_removed_while_only_one_checkpoint_is_whole(
    store: FolderStore, tmp_path: Path
) -> None:
    remove(store.root / put_checkpoint(store, tmp_path, 10, 1) / MANIFEST)
    put_checkpoint(store, tmp_path, 20, 1)
    remove_superseded(store, PATHS, attempt=1, step=20)
    assert kept(store) == [(10, 1), (20, 1)]


class Hesitant(FolderStore):
    """A store whose requests may be watched, or be the last ones."""

    before: Callable[[str, str], None] = staticmethod(lambda verb, key: None)

    def delete(self, key: str) -> None:
        self.before("delete", key)
        super().delete(key)

    def get(self, key: str) -> bytes:
        self.before("get", key)
        return super().get(key)


def test_a_removal_that_is_broken_off_anywhere_leaves_no_torn_checkpoint(tmp_path: Path) -> None:
    removals = 2 * (len(FILES) + 1)
    for allowed in range(removals):
        store = Hesitant(tmp_path / f"store-{allowed}")
        for step in (10, 20, 30, 40):
            put_checkpoint(store, tmp_path / str(allowed), step, 1)
        left = iter(range(allowed))

        def broken_off(verb: str, _: str, left: Iterator[int] = left) -> None:
            if verb == "delete" and next(left, None) is None:
                raise Unavailable("StoreUnavailable", "the node is gone")

        store.before = broken_off
        with pytest.raises(Unavailable):
            remove_superseded(store, PATHS, attempt=1, step=40)
        store.before = lambda verb, key: None
        # Whole by their checksums, all that claim to exist: the sizes alone are not asked.
        for prefix, _ in standing_checkpoints(store, PATHS):
            download_folder(store, prefix, tmp_path / f"read-{allowed}")
        manifests = [o.key for o in store.objects(PATHS.attempts) if o.key.endswith(MANIFEST)]
        assert len(manifests) == len(list(standing_checkpoints(store, PATHS)))
        remove_superseded(store, PATHS, attempt=1, step=40)
        assert kept(store) == [(30, 1), (40, 1)]


def test_a_checkpoint_that_is_removed_while_it_is_restored_gives_way_to_a_newer_one(
    tmp_path: Path,
) -> None:
    store = Hesitant(tmp_path / "store")
    for step in (10, 20):
        put_checkpoint(store, tmp_path, step, 1)

    def goes_on_saving(verb: str, _: str) -> None:
        store.before = lambda verb, key: None
        for step in (30, 40, 50):
            put_checkpoint(store, tmp_path, step, 1)
            remove_superseded(store, PATHS, attempt=1, step=step)

    store.before = goes_on_saving
    restored = restore_latest(store, PATHS, tmp_path / "resume")
    assert restored is not None
    assert restored.status.step == 50


# --- models ----------------------------------------------------------------------------------


def put_model(
    store: Store, tmp_path: Path, prefix: str, saved_at: str = "2026-01-02T03:04:05Z"
) -> None:
    folder = tmp_path / f"model-{abs(hash(prefix))}"
    upload_folder(store, make_folder(folder, FILES, 7, model=True, saved_at=saved_at), prefix)


def test_a_whole_model_is_complete_and_its_checksum_is_that_of_its_weights(
    store: FolderStore, tmp_path: Path
) -> None:
    put_model(store, tmp_path, PATHS.model)
    manifest = complete_model(store, PATHS)
    assert manifest is not None
    status = model_status(store, PATHS, manifest)
    assert status.checksum == manifest.files["model.safetensors"].sha256
    assert status.uri == store.uri(PATHS.model.rstrip("/"))


@pytest.mark.parametrize("damage", [cut_off, flip_a_bit, remove])
def test_a_damaged_model_is_not_complete(
    store: FolderStore, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    put_model(store, tmp_path, PATHS.model)
    damage(store.root / PATHS.model / "model.safetensors")
    assert complete_model(store, PATHS) is None


def test_a_model_that_another_attempt_completed_is_not_written_over(
    store: FolderStore, tmp_path: Path
) -> None:
    put_model(store, tmp_path, PATHS.model)
    other = make_folder(tmp_path / "late", {**FILES, "model.safetensors": b"x"}, 7, model=True)
    before = store.get(f"{PATHS.model}model.safetensors")
    assert upload_model(store, PATHS, other) == complete_model(store, PATHS)
    assert store.get(f"{PATHS.model}model.safetensors") == before


def test_a_model_that_is_damaged_is_written_over(store: FolderStore, tmp_path: Path) -> None:
    put_model(store, tmp_path, PATHS.model)
    cut_off(store.root / PATHS.model / "model.safetensors")
    upload_model(store, PATHS, make_folder(tmp_path / "again", FILES, 7, model=True))
    assert complete_model(store, PATHS) is not None


def other(job: str, uid: str) -> str:
    return f"{PATHS.project_root}{job}.{uid}/model/"


def test_a_job_starts_from_the_newest_model_of_the_job_that_it_names(
    store: FolderStore, tmp_path: Path
) -> None:
    put_model(store, tmp_path, other("base", "11111111"), "2026-01-03T00:00:00Z")
    put_model(store, tmp_path, other("base", "22222222"), "2026-01-02T00:00:00Z")
    put_model(store, tmp_path, other("base.long", "33333333"), "2026-01-09T00:00:00Z")
    (store.root / other("base", "22222222") / "state.json").write_text("the older one")
    start = Initialization.model_validate({"from": "Job", "job": "base"})
    folder = download_initial(store, PATHS, start, tmp_path / "initial")
    assert folder is not None
    assert (folder / "state.json").read_bytes() == FILES["state.json"]


def test_a_job_without_model_is_told_with_those_that_have_one(
    store: FolderStore, tmp_path: Path
) -> None:
    for number in range(12):
        put_model(
            store,
            tmp_path,
            other(f"job-{number:02}", "1" * 8),
            f"2026-01-{number + 1:02}T00:00:00Z",
        )
    store.put(f"{PATHS.project_root}base.11111111/job.json", b"{}")
    start = Initialization.model_validate({"from": "Job", "job": "base"})
    with pytest.raises(BadConfig, match=r"no finished job 'base'.*job-11, job-10") as caught:
        download_initial(store, PATHS, start, tmp_path / "initial")
    assert caught.value.message.count("job-") == 10
    assert "spec.model.initialization.job" in caught.value.message


def test_a_model_is_found_by_its_uri(store: FolderStore, tmp_path: Path) -> None:
    put_model(store, tmp_path, "exports/best/")
    start = Initialization.model_construct(
        from_=InitializationFrom.URI, uri=store.uri("exports/best")
    )
    assert download_initial(store, PATHS, start, tmp_path / "initial") is not None


@pytest.mark.parametrize(
    ("uri", "message"),
    [("s3://elsewhere/model", "is not in this job's store"), ("{root}/none", "holds no model")],
)
def test_a_uri_without_model_is_refused(
    store: FolderStore, tmp_path: Path, uri: str, message: str
) -> None:
    start = Initialization.model_construct(
        from_=InitializationFrom.URI, uri=uri.format(root=store.root)
    )
    with pytest.raises(BadConfig, match=message):
        download_initial(store, PATHS, start, tmp_path / "initial")


def test_random_weights_need_no_download(store: FolderStore, tmp_path: Path) -> None:
    assert download_initial(store, PATHS, Initialization(), tmp_path / "initial") is None
