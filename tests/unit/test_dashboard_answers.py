"""Answers are made once for all who ask the same, and kept while they are new."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from aiohttp.test_utils import make_mocked_request

from sihl_dashboard.server.answers import Answer, Answers, answer_of, encoded, response


def counting(made: list[str], body: bytes = b"{}", version: str | None = None):  # type: ignore[no-untyped-def]
    async def make() -> Answer:
        made.append(version or "")
        await asyncio.sleep(0)
        return answer_of(body, version=version)

    return make


async def test_those_who_ask_at_once_wait_for_one_answer() -> None:
    answers, made = Answers(), list[str]()
    found = await asyncio.gather(*(answers.get(("q",), None, counting(made)) for _ in range(50)))
    assert len(made) == 1
    assert len({id(each) for each in found}) == 1


async def test_an_answer_of_a_version_is_kept_until_there_is_another() -> None:
    answers, made = Answers(), list[str]()
    for version in ("1", "1", "2", "2"):
        await answers.get(("q",), version, counting(made, version=version))
    assert made == ["1", "2"]


async def test_an_answer_of_no_version_is_good_for_a_moment() -> None:
    answers, made = Answers(), list[str]()
    await answers.get(("q",), None, counting(made), max_age=60)
    await answers.get(("q",), None, counting(made), max_age=60)
    await answers.get(("q",), None, counting(made), max_age=0)
    assert len(made) == 2


async def test_an_answer_that_will_never_change_is_good_whatever_the_version() -> None:
    answers, made = Answers(), list[str]()

    async def make() -> Answer:
        made.append("")
        return replace(answer_of(b"{}"), is_final=True)

    for version in (None, "1", "2", None):
        await answers.get(("q",), version, make, max_age=0)
    assert len(made) == 1


async def test_answers_take_no_more_memory_than_they_may() -> None:
    answers, made = Answers(limit=10_000), list[str]()
    for number in range(20):
        await answers.get((str(number),), "1", counting(made, bytes(3000), "1"))
    await answers.get(("19",), "1", counting(made, bytes(3000), "1"))
    await answers.get(("0",), "1", counting(made, bytes(3000), "1"))
    assert len(made) == 21


async def test_one_who_leaves_does_not_take_the_answer_from_those_who_wait() -> None:
    answers, made = Answers(), list[str]()
    first = asyncio.create_task(answers.get(("q",), None, counting(made)))
    second = asyncio.create_task(answers.get(("q",), None, counting(made)))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).body == b"{}"
    assert len(made) == 1


def test_what_is_no_finite_number_is_null() -> None:
    document = {"a": float("nan"), "b": np.array([1.5, np.nan, np.inf], np.float32)}
    assert json.loads(encoded(document)) == {"a": None, "b": [1.5, None, None]}


@pytest.mark.parametrize(
    ("headers", "status", "is_packed"),
    [
        ({}, 200, False),
        ({"Accept-Encoding": "br, gzip"}, 200, True),
        ({"If-None-Match": "{tag}"}, 304, False),
        ({"If-None-Match": 'W/{tag}, "x"'}, 304, False),
        ({"If-None-Match": '"x"'}, 200, False),
    ],
)
def test_a_browser_gets_what_it_lacks_as_it_takes_it(
    headers: dict[str, str], status: int, is_packed: bool
) -> None:
    answer = answer_of(b"[1]" * 1000)
    told = {name: value.replace("{tag}", answer.tag) for name, value in headers.items()}
    found = response(make_mocked_request("GET", "/", told), answer)
    assert found.status == status
    assert (found.headers.get("Content-Encoding") == "gzip") is is_packed
    if is_packed:
        assert isinstance(found.body, bytes)
        assert gzip.decompress(found.body) == answer.body
