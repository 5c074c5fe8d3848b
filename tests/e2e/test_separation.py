"""What a namespace's keys reach of the chart's store."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.harness import NAMESPACE, OTHERS, Harness


@pytest.mark.parametrize(("ours", "theirs"), [(NAMESPACE, OTHERS), (OTHERS, NAMESPACE)])
def test_a_namespaces_keys_reach_its_own_records_and_no_other_namespaces(
    harness: Harness, ours: str, theirs: str
) -> None:
    own, other = harness.store_of(ours), harness.store_of(theirs)
    own.put("separation/record", b"ours")
    assert own.get("separation/record") == b"ours"
    other.put("separation/record", b"theirs")
    calls: dict[str, dict[str, Any]] = {
        "list_objects_v2": {},
        "get_object": {"Key": "separation/record"},
        "put_object": {"Key": "separation/record", "Body": b"ours"},
        "delete_object": {"Key": "separation/record"},
    }
    for call, arguments in calls.items():
        with pytest.raises(ClientError) as error:
            getattr(own.client, call)(Bucket=other.bucket, **arguments)
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403, call
    assert other.get("separation/record") == b"theirs"
