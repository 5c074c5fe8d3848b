"""EKS Pod Identity: keys that an agent of the pod's node hands out for its service account."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.utils import ContainerMetadataFetcher

from sihl_api.dataset import Credentials
from sihl_api.runtime import Env, ExitCode
from sihl_dashboard.server.stores import place_of
from sihl_s3.access import PodIdentity, WebIdentity
from sihl_s3.identity import (
    AGENT_TOKEN_VARIABLE,
    AGENT_VARIABLE,
    ROLE_VARIABLE,
    TOKEN_VARIABLE,
    identity_of,
)
from sihl_trainer.errors import Refused, TrainerError, Unavailable
from sihl_trainer.fetch.bucket import Bucket
from sihl_trainer.fetch.location import keys_from_environment
from sihl_trainer.fetch.main import fetch_split
from sihl_trainer.record.s3 import S3Settings, S3Store
from tests.support.agent import Agent, handing_out
from tests.support.datasets import classification, job
from tests.support.s3 import KEEPER, S3Server
from tests.support.sts import SUBJECT, token_of
from tests.support.waiting import eventually

BUCKET = "data"
RECORD = {"bucket": BUCKET, "serviceAccount": "true"}


@pytest.fixture
def agent(lending_s3: S3Server) -> Iterator[Agent]:
    with handing_out(functools.cache(lambda: lending_s3.lend(KEEPER))) as found:
        yield found


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore asks thrice, a second apart."""
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)


def given_by_webhook(url: str, token: Path | str) -> dict[str, str]:
    return {AGENT_VARIABLE: url, AGENT_TOKEN_VARIABLE: str(token), Env.SERVICE_ACCOUNT: "trainer"}


def bucket_of(endpoint: str, environ: dict[str, str]) -> Bucket:
    spec = job(endpoint=endpoint)
    said = Credentials.model_validate({"serviceAccount": True})
    location = spec.dataset.train.model_copy(update={"credentials": said})
    return Bucket(location, keys_from_environment(location, environ), patience=0)


def refusal(environ: dict[str, str]) -> TrainerError:
    with pytest.raises(TrainerError) as caught:
        bucket_of("http://store", environ).list()
    return caught.value


def test_a_dataset_is_fetched_with_what_the_agent_hands_out_for_the_pods_token(
    lending_s3: S3Server, agent: Agent, token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # nobody's way to the own node
    monkeypatch.setenv("no_proxy", lending_s3.endpoint.removeprefix("http://"))
    spec = job(endpoint=lending_s3.endpoint)
    said = Credentials.model_validate({"serviceAccount": True})
    train = spec.dataset.train.model_copy(update={"credentials": said})
    spec = spec.model_copy(update={"dataset": spec.dataset.model_copy(update={"train": train})})
    fetch_split(spec, "train", tmp_path, given_by_webhook(agent.url, token))
    assert len(list((tmp_path / "train" / "images").iterdir())) == len(classification()) - 2
    assert agent.asked == [token.read_text()]  # once, for boto3 and obstore


def test_records_are_kept_with_keys_that_are_handed_out_anew_before_they_end(
    lending_s3: S3Server, agent: Agent, token: Path
) -> None:
    agent.seconds = 1
    said = {**RECORD, "endpoint": lending_s3.endpoint}
    environ = {Env.store(key): text for key, text in said.items()}
    record = S3Store(
        S3Settings.from_environment(environ | given_by_webhook(agent.url, token)), attempts=1
    )
    record.put("kept/first", b"1")
    token.write_text(token_of(number=2))  # as the kubelet does

    def renewed() -> bool:
        record.put("kept/second", b"2")
        return agent.asked[-1] == token.read_text()

    eventually(renewed)
    assert [each.key for each in record.objects("kept/")] == ["kept/first", "kept/second"]


def test_the_dashboard_reads_records_by_the_agent_of_its_node(
    lending_s3: S3Server, agent: Agent, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given_by_webhook(agent.url, token).items():
        monkeypatch.setenv(name, value)
    place = place_of({**RECORD, "endpoint": lending_s3.endpoint})
    assert place.get("metadata.yaml").data == classification()["metadata.yaml"]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ((404, "[1]: (ResourceNotFoundException): No association found, fault: client"),
         ("a Pod Identity association", SUBJECT, "ResourceNotFoundException")),
        ((403, "(AccessDeniedException): Unauthorized Exception! EKS does not have permissions"),
         ("pods.eks.amazonaws.com", "eks-auth:AssumeRoleForPodIdentity", "AccessDeniedException")),
        ((400, f"Service account token cannot be parsed: {token_of()}"), ("cannot be parsed",)),
        ((200, '{"Code": "Other"}'), ("KeyError",)),
    ],
)  # fmt: skip
def test_whom_the_agent_has_no_keys_for_is_told_who_has_to_do_what_and_waits(
    agent: Agent, token: Path, answer: tuple[int, str], parts: tuple[str, ...]
) -> None:
    agent.refusal = answer
    found = refusal(given_by_webhook(agent.url, token))
    assert (type(found), found.reason) == (Refused, "DatasetIdentityRefused")
    assert found.exit_code is ExitCode.REFUSED, "waited for, and not counted"
    for part in (agent.url, *parts):
        assert part in found.message
    assert token.read_text() not in found.message


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("answer", [(500, "canceled, context canceled"), (429, "Too Many"), None,
                                    (200, "<html>")])  # fmt: skip
def test_an_agent_that_is_away_or_busy_is_asked_again(
    agent: Agent, token: Path, answer: tuple[int, str] | None
) -> None:
    agent.refusal = answer
    url = agent.url if answer else "http://127.0.0.1:1/v1/credentials"
    found = refusal(given_by_webhook(url, token))
    assert (type(found), found.reason) == (Unavailable, "DatasetUnavailable")
    assert url in found.message


def test_an_agent_elsewhere_is_shown_no_token(token: Path) -> None:
    found = refusal(given_by_webhook("http://192.0.2.1/v1/credentials", token))
    assert found.reason == "DatasetIdentityRefused"
    assert "Unsupported host '192.0.2.1'" in found.message


@pytest.mark.parametrize(
    ("file", "told"), [("", f"no {AGENT_TOKEN_VARIABLE}"), ("/nowhere/t", "no file /nowhere/t")]
)
def test_a_pod_without_the_agents_token_is_told_whose_it_lacks(file: str, told: str) -> None:
    found = refusal(given_by_webhook("http://127.0.0.1:1/", file))
    assert found.reason == "DatasetIdentityMissing"
    for part in ("service account trainer", told, "Pod Identity association"):
        assert part in found.message


AGENT = {AGENT_VARIABLE: "http://169.254.170.23/v1/credentials", AGENT_TOKEN_VARIABLE: "/t"}
WEB = {TOKEN_VARIABLE: "/w", ROLE_VARIABLE: "arn:aws:iam::1:role/r"}


@pytest.mark.parametrize(
    ("said", "token_file", "environ", "kind"),
    [
        ({}, "", AGENT, PodIdentity),
        ({}, "", AGENT | WEB, WebIdentity),
        ({}, "", WEB, WebIdentity),
        ({"roleArn": "arn:aws:iam::1:role/r"}, "", AGENT, WebIdentity),
        ({"stsEndpoint": "https://sts.example.org"}, "", AGENT, WebIdentity),
        ({}, "/own", AGENT, WebIdentity),
        ({}, "", {}, WebIdentity),
    ],
)
def test_what_a_place_says_counts_first_then_a_web_identity_then_the_agent(
    said: dict[str, str], token_file: str, environ: dict[str, str], kind: type[Any]
) -> None:
    found = identity_of("https://s3.eu-west-1.amazonaws.com", "", said, token_file, environ)
    assert type(found) is kind
