"""Keys of the embedded store: made once, kept, replaced when asked."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_operator.identities import DASHBOARD, Keys, Wanted, identities, known, made_up, s3_json
from sihl_operator.kube import NotFoundError
from sihl_operator.storekeeper import IDENTITIES, ROTATE, Post, SecretsApi, mark, tend

PLACE = {"endpoint": "http://store:8333", "bucket": "vision", "prefix": ""}
WANTED = Wanted({"vision": "vision", "cells": "cells"}, {"vision": PLACE})
NAMES = st.sets(st.sampled_from(["a", "b", "c", "d"]), max_size=4)


def wanted(names: set[str], dashboard: bool) -> Wanted:
    return Wanted({name: name for name in sorted(names)}, {} if dashboard else None)


@given(NAMES, NAMES, st.booleans())
def test_who_stays_keeps_its_keys_whoever_comes_and_goes(
    before: set[str], after: set[str], dashboard: bool
) -> None:
    first = wanted(before, dashboard)
    kept = identities(first, {})
    second = wanted(after, dashboard)
    found = identities(second, {"s3.json": s3_json(first, kept)})
    assert set(found) == after | ({DASHBOARD} if dashboard else set())
    assert {name: keys for name, keys in found.items() if name in kept} == {
        name: keys for name, keys in kept.items() if name in found
    }
    assert len({keys.secret for keys in found.values()}) == len(found)


@given(NAMES)
def test_what_was_written_is_read_back(names: set[str]) -> None:
    found = identities(wanted(names, True), {})
    assert known({"s3.json": s3_json(wanted(names, True), found)}) == found


@pytest.mark.parametrize(
    ("rotated", "replaced"),
    [(["vision"], {"vision"}), (["all"], {"vision", "cells", DASHBOARD}), (["nobody", ""], set())],
)
def test_keys_are_replaced_of_whom_is_named(rotated: list[str], replaced: set[str]) -> None:
    kept = identities(WANTED, {})
    found = identities(WANTED, {"s3.json": s3_json(WANTED, kept)}, rotated)
    assert {name for name in found if found[name] != kept[name]} == replaced


def test_keys_of_the_values_come_first() -> None:
    given_keys = s3_json(Wanted({"vision": "any"}), {"vision": Keys("key", "secret")})
    kept = s3_json(WANTED, identities(WANTED, {}))
    found = identities(WANTED, {"s3.json": kept, "given.json": given_keys}, ["all"])
    assert found["vision"] == Keys("key", "secret")


def test_a_namespace_writes_its_own_bucket_and_the_dashboard_writes_none() -> None:
    text = s3_json(WANTED, identities(WANTED, {}))
    actions = {each["name"]: each["actions"] for each in json.loads(text)["identities"]}
    assert {name: {a.partition(":")[2] for a in each} for name, each in actions.items()} == {
        "vision": {"vision"}, "cells": {"cells"}, DASHBOARD: {"vision"},
    }  # fmt: skip
    assert actions[DASHBOARD] == ["Read:vision", "List:vision"]
    keys = made_up()
    assert (len(keys.access), len(keys.secret)) == (20, 40)
    assert keys.secret not in repr(keys)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"identities": [{"name": "x"}]}', '{"identities": 1}']
)
def test_a_secret_that_cannot_be_understood_is_told_without_its_content(text: str) -> None:
    with pytest.raises(ValueError, match=r"its s3\.json is not as SeaweedFS reads") as caught:
        identities(WANTED, {"s3.json": text})
    assert caught.value.__suppress_context__


class FakeApi(SecretsApi):
    """Secrets in memory, with what was written."""

    def __init__(self, secrets: dict[tuple[str, str], dict[str, Any]]) -> None:
        self.secrets = secrets
        self.written: list[tuple[str, str, str]] = []

    async def secret(self, namespace: str, name: str) -> dict[str, Any]:
        if (namespace, name) not in self.secrets:
            raise NotFoundError(404, "NotFound", f"secrets {name} not found")
        return copy.deepcopy(self.secrets[namespace, name])

    async def patch(self, namespace: str, plural: str, name: str, body: Any) -> None:
        self.written.append((namespace, plural, name))
        if plural != "secrets":
            return
        found = self.secrets[namespace, name]
        found["data"] = {**found.get("data", {}), **body.get("data", {})}
        for key, value in body.get("metadata", {}).get("annotations", {}).items():
            found["metadata"].setdefault("annotations", {}).pop(key, None)
            assert value is None


def empty() -> dict[tuple[str, str], dict[str, Any]]:
    """The Secrets as the chart makes them."""
    names = [("sys", IDENTITIES), ("sys", "sihl-dashboard-stores"),
             ("vision", "sihl-store"), ("cells", "sihl-store")]  # fmt: skip
    return {each: {"metadata": {"resourceVersion": "1"}} for each in names}


def texts(secret: dict[str, Any]) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


async def test_every_reader_gets_its_copy_and_nothing_is_written_when_all_have_it(
    tmp_path: Path,
) -> None:
    post = Post(WANTED, "sys", tmp_path / "s3.json")
    api = FakeApi(empty())
    await tend(api, post)
    found = known({"s3.json": post.file.read_text()})
    for name in ("vision", "cells"):
        secret = texts(api.secrets[name, "sihl-store"])
        assert Keys(secret["accessKeyId"], secret["secretAccessKey"]) == found[name]
    stores = json.loads(texts(api.secrets["sys", "sihl-dashboard-stores"])["stores.json"])
    assert stores["vision"]["secretAccessKey"] == found[DASHBOARD].secret
    api.written.clear()
    await tend(api, post)
    assert api.written == []


async def test_a_copy_that_was_emptied_is_filled_again_and_one_that_is_gone_stops_nobody(
    tmp_path: Path,
) -> None:
    post = Post(WANTED, "sys", tmp_path / "s3.json")
    api = FakeApi(empty())
    del api.secrets["cells", "sihl-store"]
    await tend(api, post)
    before = texts(api.secrets["vision", "sihl-store"])
    api.secrets["vision", "sihl-store"]["data"] = {}
    await tend(api, post)
    assert texts(api.secrets["vision", "sihl-store"]) == before
    assert post.file.exists()


async def test_a_rotation_is_done_once(tmp_path: Path) -> None:
    post = Post(WANTED, "sys", tmp_path / "s3.json")
    api = FakeApi(empty())
    await tend(api, post)
    before = known({"s3.json": post.file.read_text()})
    api.secrets["sys", IDENTITIES]["metadata"]["annotations"] = {ROTATE: "vision, nobody"}
    await tend(api, post)
    after = known({"s3.json": post.file.read_text()})
    assert after["vision"] != before["vision"]
    assert after["cells"] == before["cells"]
    secret = texts(api.secrets["vision", "sihl-store"])
    assert secret["secretAccessKey"] == after["vision"].secret
    await tend(api, post)
    assert known({"s3.json": post.file.read_text()}) == after


async def test_the_volume_is_marked_where_there_is_one(tmp_path: Path) -> None:
    api = FakeApi(empty())
    await mark(api, Post(WANTED, "sys", tmp_path / "s3.json"))
    await mark(api, Post(WANTED, "sys", tmp_path / "s3.json", claim="data-sihl-store-0"))
    assert api.written == [("sys", "persistentvolumeclaims", "data-sihl-store-0")]
