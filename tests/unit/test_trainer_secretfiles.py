from __future__ import annotations

from pathlib import Path

import pytest

from sihl_api.runtime import Env
from sihl_trainer.secretfiles import dataset_keys, store_keys
from tests.support.secretfiles import mount

VARIABLES = {"HOME": "/", "SIHL_STORE_BUCKET": "runs", "SIHL_STORE_REGION": "eu-west-1"}


def test_what_the_files_say_counts_and_what_they_lack_was_taken_out(tmp_path: Path) -> None:
    folder = mount(tmp_path / "store", bucket="new", secretAccessKey="s")
    found = store_keys({**VARIABLES, Env.STORE_FILES: str(folder)})
    assert {name: found.get(name) for name in (*VARIABLES, "SIHL_STORE_SECRET_ACCESS_KEY")} == {
        "HOME": "/",
        "SIHL_STORE_BUCKET": "new",
        "SIHL_STORE_REGION": None,
        "SIHL_STORE_SECRET_ACCESS_KEY": "s",
    }
    assert found[Env.STORE_FILES] == str(folder)


@pytest.mark.parametrize("files", [None, "not there", "empty"])
def test_without_files_the_variables_count(tmp_path: Path, files: str | None) -> None:
    (tmp_path / "empty").mkdir()
    environ = VARIABLES | ({Env.STORE_FILES: str(tmp_path / files)} if files else {})
    assert store_keys(environ) == environ


def test_the_keys_of_a_dataset_and_of_the_store_are_told_apart(tmp_path: Path) -> None:
    folder = mount(tmp_path / "dataset", accessKeyId="a")
    found = dataset_keys({**VARIABLES, Env.DATASET_FILES: str(folder)})
    assert found["SIHL_DATASET_ACCESS_KEY_ID"] == "a"
    assert found["SIHL_STORE_BUCKET"] == "runs"
