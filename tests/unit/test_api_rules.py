"""A job is held to the API server's rules where there is no API server."""

import pytest

from sihl_api.rules import job_faults
from tests.support.invalid import INVALID, VALID, changed


@pytest.mark.parametrize("fault", INVALID)
def test_what_the_api_server_refuses_is_told_by_its_field(fault: str) -> None:
    change, field = INVALID[fault]
    _, faults = job_faults(changed(change))
    assert faults
    assert all(each.startswith(field) for each in faults), faults


@pytest.mark.parametrize("job", VALID)
def test_what_the_api_server_takes_is_taken(job: str) -> None:
    spec, faults = job_faults(changed(VALID[job]))
    assert faults == []
    assert spec is not None
    again = {**changed(VALID[job]), "spec": spec.model_dump(mode="json", by_alias=True)}
    assert job_faults(again)[0] == spec
