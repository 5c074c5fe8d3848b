"""What a namespace's keys reach of the chart's store."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from sihl_operator.storekeeper import IDENTITIES, ROTATE
from tests.e2e.harness import NAMESPACE, OTHERS, SYSTEM, Harness, Store
from tests.support.waiting import eventually


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


def test_keys_that_were_replaced_open_nothing_and_the_new_ones_what_they_did(
    harness: Harness,
) -> None:
    old, others = harness.store_of(OTHERS), harness.store_of(NAMESPACE)
    old.put("separation/kept", b"before")
    harness.cluster.kubectl("annotate", "secret", IDENTITIES, "-n", SYSTEM, f"{ROTATE}={OTHERS}")
    eventually(lambda: answer(old) in ("InvalidAccessKeyId", "AccessDenied"), 180, 0.5)
    new = harness.store_of(OTHERS, anew=True)
    assert new.secret_key != old.secret_key
    eventually(lambda: answer(new) == "before", 180, 0.5)
    others.put("separation/kept", b"before")
    assert answer(others) == "before"


def answer(store: Store) -> str:
    """What was kept, or the store's refusal, or nothing while it is away."""
    try:
        return store.get("separation/kept").decode()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except BotoCoreError:
        return ""
