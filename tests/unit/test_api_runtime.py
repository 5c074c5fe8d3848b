import json

from hypothesis import given
from hypothesis import strategies as st

from sihl_api.record import RecordPaths, checkpoint_of
from sihl_api.runtime import TERMINATION_MESSAGE_LIMIT, Env, Result, read_result
from sihl_api.status import CheckpointStatus


@given(
    st.text(max_size=6000),
    st.dictionaries(st.text(max_size=40), st.text(max_size=20)),
    st.lists(st.text(max_size=400), max_size=9),
)
def test_a_result_always_fits_the_termination_message(
    message: str, metrics: dict[str, str], warnings: list[str]
) -> None:
    encoded = Result(
        reason="Completed", message=message, metrics=metrics, warnings=warnings
    ).encode()
    assert len(encoded) <= TERMINATION_MESSAGE_LIMIT
    back = read_result(encoded.decode())
    assert back is not None
    assert back.reason == "Completed"


def test_a_result_survives_the_way_through_the_pod_status() -> None:
    checkpoint = CheckpointStatus(step=7, uri="s3://b/k", saved_at="2026-01-01T00:00:00Z")
    result = Result(reason="Stopped", message="asked", step=7, checkpoint=checkpoint)
    assert read_result(result.encode().decode()) == result


def test_of_many_warnings_the_first_are_told_and_how_many_more_there_are() -> None:
    told = read_result(Result(reason="Fetched", warnings=list("abcdef")).encode().decode())
    assert told is not None
    assert told.warnings == ["a", "b", "c", "d", "and 2 more, in the container's log"]


def test_what_is_no_result_is_not_taken_for_one() -> None:
    assert read_result(None) is None
    assert read_result("") is None
    assert read_result("Killed") is None
    assert read_result(json.dumps({"message": "no reason"})) is None


def test_variables_are_named_after_the_secrets_keys() -> None:
    assert Env.store("accessKeyId") == "SIHL_STORE_ACCESS_KEY_ID"
    assert Env.dataset("secretAccessKey") == "SIHL_DATASET_SECRET_ACCESS_KEY"


def test_a_record_lies_under_its_namespace_project_and_job() -> None:
    paths = RecordPaths("runs/", "team-a", "cells", "first", "0123456789abcdef")
    assert paths.root == "runs/team-a/cells/first.01234567/"
    assert paths.checkpoint(2, 40) == f"{paths.root}attempts/2/checkpoints/000000040/"
    assert RecordPaths("", "a", "b", "c", "d").root == "a/b/c.d/"


@given(st.integers(1, 10**6), st.integers(0, 10**8))
def test_a_checkpoint_is_told_from_the_key_of_any_of_its_files(attempt: int, step: int) -> None:
    paths = RecordPaths("p", "n", "q", "j", "u")
    for name in ("manifest.json", "model.safetensors"):
        assert checkpoint_of(paths.checkpoint(attempt, step) + name) == (step, attempt)
    assert checkpoint_of(paths.log(attempt, step)) is None
    assert checkpoint_of(f"{paths.model}manifest.json") is None
