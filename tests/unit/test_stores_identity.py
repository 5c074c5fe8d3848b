"""A pod's service account instead of keys: who lends, for how long, and who is told what."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sihl_api.dataset import Credentials
from sihl_api.runtime import Env, ExitCode
from sihl_api.trainingjob import TrainingJobSpec
from sihl_dashboard.records import S3Place
from sihl_dashboard.records import S3Settings as Read
from sihl_s3.access import Access, Keys, WebIdentity
from sihl_s3.answers import FaultError
from sihl_s3.identity import (
    AGENT_VARIABLE,
    ROLE_VARIABLE,
    TOKEN_VARIABLE,
    claims_of,
    sts_of,
)
from sihl_s3.lending import EARLY_SECONDS, PAUSE_SECONDS, SETTLED_SECONDS, Lender
from sihl_trainer.errors import Refused, Unavailable
from sihl_trainer.fetch.bucket import Bucket
from sihl_trainer.fetch.location import keys_from_environment
from sihl_trainer.fetch.main import fetch_split
from sihl_trainer.record.s3 import S3Settings, S3Store
from tests.support.datasets import classification, job
from tests.support.s3 import BORROWER, KEEPER, S3Server
from tests.support.sts import SUBJECT, Sts, lending, token_of
from tests.support.waiting import eventually

BUCKET = "data"
LENT = ("lent-key", "lent-secret", "lent-token")


@pytest.fixture
def sts(lending_s3: S3Server) -> Iterator[Sts]:
    with lending(functools.cache(lending_s3.lend), BORROWER, KEEPER) as service:
        yield service


@pytest.fixture
def lender_only() -> Iterator[Sts]:
    """One whose keys open nothing: where it is only asked whether, and when, it lends."""
    with lending(lambda _: LENT, BORROWER) as service:
        yield service


def reading_as(endpoint: str, **credentials: Any) -> TrainingJobSpec:
    """A job whose dataset is read so."""
    spec = job(endpoint=endpoint)
    said = Credentials.model_validate({"serviceAccount": True, **credentials})
    train = spec.dataset.train.model_copy(update={"credentials": said})
    return spec.model_copy(update={"dataset": spec.dataset.model_copy(update={"train": train})})


def given_by_webhook(token: Path, role: str = BORROWER) -> dict[str, str]:
    return {TOKEN_VARIABLE: str(token), ROLE_VARIABLE: role}


def bucket_as(endpoint: str, environ: dict[str, str], **credentials: Any) -> Bucket:
    location = reading_as(endpoint, **credentials).dataset.train
    return Bucket(location, keys_from_environment(location, environ), patience=0)


# --- a real store's keys ---------------------------------------------------------------------


def test_a_dataset_is_read_with_what_is_lent_for_the_webhooks_token(
    lending_s3: S3Server, sts: Sts, token: Path, tmp_path: Path
) -> None:
    environ = given_by_webhook(token) | {Env.POD_NAME: "cells-runner"}
    fetch_split(
        reading_as(lending_s3.endpoint, stsEndpoint=sts.endpoint), "train", tmp_path, environ
    )
    assert len(list((tmp_path / "train" / "images").iterdir())) == len(classification()) - 2
    (asked,) = sts.asked  # once, for boto3 and obstore
    assert asked["WebIdentityToken"] == token.read_text()
    assert asked["RoleArn"] == BORROWER
    assert asked["RoleSessionName"] == "cells-runner"


def test_the_operators_token_and_the_jobs_role_count_before_the_webhooks(
    lending_s3: S3Server, sts: Sts, token: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.write_text(token_of(number=7))
    environ = given_by_webhook(token, "arn:aws:iam::1:role/other") | {
        Env.DATASET_IDENTITY: str(own)
    }
    spec = reading_as(lending_s3.endpoint, stsEndpoint=sts.endpoint, roleArn=BORROWER)
    fetch_split(spec, "train", tmp_path, environ)
    assert sts.asked[0]["WebIdentityToken"] == own.read_text()


@pytest.mark.parametrize("kind", ["keys", "anonymous"])
def test_no_other_place_is_asked_as_the_service_account(
    lending_s3: S3Server, sts: Sts, token: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = given_by_webhook(token) | {
        "AWS_ENDPOINT_URL_STS": sts.endpoint,
        Env.dataset("accessKeyId"): lending_s3.reader[0],
        Env.dataset("secretAccessKey"): "wrong",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    location = job(endpoint=lending_s3.endpoint).dataset.train
    if kind == "anonymous":
        location = location.model_copy(update={"credentials": None})
    bucket = Bucket(location, keys_from_environment(location, environ), patience=0)
    with pytest.raises(Exception, match="refused to list"):
        bucket.list()
    record = S3Store(S3Settings(lending_s3.endpoint, BUCKET, "wrong", "wrong"), attempts=1)
    with pytest.raises(Refused, match="refused"):
        record.objects("")
    assert sts.asked == []


def test_keys_that_expire_while_a_job_runs_are_lent_anew_for_the_token_of_then(
    lending_s3: S3Server, sts: Sts, token: Path
) -> None:
    sts.seconds = 1
    said = {"endpoint": lending_s3.endpoint, "bucket": BUCKET, "serviceAccount": "true",
            "roleArn": KEEPER, "stsEndpoint": sts.endpoint}  # fmt: skip
    environ = {Env.store(key): text for key, text in said.items()}
    record = S3Store(
        S3Settings.from_environment(environ | {Env.STORE_IDENTITY: str(token)}), attempts=1
    )
    record.put("kept/first", b"1")
    token.write_text(token_of(number=2))  # as the kubelet does

    def renewed() -> bool:
        record.put("kept/second", b"2")
        return sts.asked[-1]["WebIdentityToken"] == token.read_text()

    eventually(renewed)
    assert [each.key for each in record.objects("kept/")] == ["kept/first", "kept/second"]
    before = len(sts.asked)
    reader = bucket_as(lending_s3.endpoint, given_by_webhook(token), stsEndpoint=sts.endpoint)
    listed = reader.list("images/").objects
    remote = listed[min(listed)]

    def read_anew() -> bool:
        got = bytearray()
        reader.read(remote, 0, remote.size, lambda _, chunk: got.extend(chunk))
        assert len(got) == remote.size
        return len(sts.asked) > before + 1

    eventually(read_anew)


def test_the_dashboards_own_identity_reads_records(
    lending_s3: S3Server, sts: Sts, token: Path
) -> None:
    said = {"endpoint": lending_s3.endpoint, "bucket": BUCKET, "serviceAccount": "true",
            "stsEndpoint": sts.endpoint}  # fmt: skip
    environ = {Env.store(key): text for key, text in said.items()}
    place = S3Place(Read.from_environment(environ | given_by_webhook(token)))
    assert place.get("metadata.yaml").data == classification()["metadata.yaml"]


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "parts"),
    [
        ((403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
         ("trust policy", SUBJECT, BORROWER, "https://issuer.example.org", "AccessDenied")),
        ((400, "InvalidIdentityToken", "No OpenIDConnect provider found"),
         ("register the issuer https://issuer.example.org", "audience sts.amazonaws.com")),
        ((400, "ExpiredTokenException", "Token expired"), ("kubelet", "clock")),
        ((403, "RegionDisabledException", "STS is not activated"), ("stsEndpoint",)),
        ((400, "ValidationError", "Request ARN is invalid"), ("correct roleArn",)),
    ],
)  # fmt: skip
def test_whom_nobody_lends_is_told_who_has_to_do_what_and_waits(
    lender_only: Sts, token: Path, refusal: tuple[int, str, str], parts: tuple[str, ...]
) -> None:
    lender_only.refusal = refusal
    bucket = bucket_as("http://store", given_by_webhook(token), stsEndpoint=lender_only.endpoint)
    with pytest.raises(Refused) as caught:
        bucket.list()
    assert caught.value.reason == "DatasetIdentityRefused"
    assert caught.value.exit_code is ExitCode.REFUSED, "waited for, and not counted"
    for part in (lender_only.endpoint, *parts):
        assert part in caught.value.message
    assert token.read_text() not in caught.value.message


def test_the_record_says_the_same_of_its_store(lender_only: Sts, token: Path) -> None:
    identity = WebIdentity(str(token), "arn:aws:iam::1:role/other", lender_only.endpoint)
    store = S3Store(S3Settings("http://store", "data", identity=identity), attempts=1)
    with pytest.raises(Refused, match="trust policy") as caught:
        store.put("a", b"")
    assert caught.value.reason == "StoreIdentityRefused"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, f"neither {TOKEN_VARIABLE} nor {AGENT_VARIABLE}"),
        ({TOKEN_VARIABLE: "/nowhere/token"}, "no file /nowhere/token"),
        ({TOKEN_VARIABLE: "/dev/null"}, "no file /dev/null"),
    ],
)
def test_a_pod_without_a_token_is_told_which_service_account_gets_one(
    environ: dict[str, str], told: str
) -> None:
    with pytest.raises(Refused, match=r"runner\.serviceAccountName") as caught:
        bucket_as("http://store", environ).list()
    assert caught.value.reason == "DatasetIdentityMissing"
    assert told in caught.value.message


def test_a_lender_that_is_away_is_asked_again_and_told_by_its_own_address(token: Path) -> None:
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:1, which lends the keys") as caught:
        bucket_as("http://store", given_by_webhook(token), stsEndpoint="http://127.0.0.1:1").list()
    assert caught.value.reason == "DatasetUnavailable"


def test_what_is_no_lender_is_told(lender_only: Sts, token: Path) -> None:
    lender_only.page = "<html><body>Log in</body></html>"
    with pytest.raises(Refused, match="correct roleArn and stsEndpoint"):
        bucket_as("http://s", given_by_webhook(token), stsEndpoint=lender_only.endpoint).list()


def test_a_secret_with_keys_and_an_account_is_told_to_choose() -> None:
    said = {"endpoint": "http://s", "bucket": "b", "accessKeyId": "a", "secretAccessKey": "b",
            "serviceAccount": "true"}  # fmt: skip
    with pytest.raises(Refused, match="take one of them out"):
        S3Settings.from_environment({Env.store(key): text for key, text in said.items()})


# --- the lender ------------------------------------------------------------------------------


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def lender_of(sts: Sts, token: Path, clock: Clock) -> Lender:
    identity = WebIdentity(str(token), BORROWER, sts.endpoint)
    return Lender(Access("http://store", "data", identity), clock)


@pytest.mark.parametrize("off", [timedelta(0), timedelta(hours=-5), timedelta(days=400)])
def test_keys_are_lent_anew_before_they_end_whatever_time_the_lender_has(
    lender_only: Sts, token: Path, off: timedelta
) -> None:
    lender_only.clock_off, clock = off, Clock()
    lender = lender_of(lender_only, token, clock)
    assert lender.keys() == Keys(*LENT)
    clock.now += 3600 - EARLY_SECONDS - 5
    lender.keys()
    assert len(lender_only.asked) == 1
    clock.now += 10
    lender.keys()
    assert len(lender_only.asked) == 2


def test_a_refusal_costs_nothing_while_the_keys_of_before_last(
    lender_only: Sts, token: Path
) -> None:
    clock = Clock()
    lender = lender_of(lender_only, token, clock)
    lender.keys()
    lender_only.refusal = (403, "AccessDenied", "")
    clock.now += 3600 - EARLY_SECONDS + 5
    for _ in range(3):
        assert lender.keys() == Keys(*LENT)
    assert len(lender_only.asked) == 2, "asked again only after a pause"
    clock.now += PAUSE_SECONDS + 1
    lender.keys()
    assert len(lender_only.asked) == 3
    clock.now += EARLY_SECONDS
    with pytest.raises(FaultError, match="does not let"):
        lender.keys()
    lender_only.refusal = None
    clock.now += PAUSE_SECONDS + 1
    assert lender.keys() == Keys(*LENT)


def test_keys_that_the_store_refuses_are_lent_anew_unless_they_were_just_now(
    lender_only: Sts, token: Path
) -> None:
    clock = Clock()
    lender = lender_of(lender_only, token, clock)
    lender.keys()
    assert not lender.forget(), "other keys would be refused too"
    clock.now += SETTLED_SECONDS + 1
    assert lender.forget()
    lender.keys()
    assert len(lender_only.asked) == 2


@pytest.mark.parametrize(
    ("endpoint", "region", "sts"),
    [
        ("https://s3.eu-west-1.amazonaws.com", "", "https://sts.eu-west-1.amazonaws.com"),
        ("https://s3.amazonaws.com", "eu-north-1", "https://sts.eu-north-1.amazonaws.com"),
        ("https://s3.amazonaws.com/", "", "https://sts.us-east-1.amazonaws.com"),
        ("https://s3.cn-north-1.amazonaws.com.cn", "", "https://sts.cn-north-1.amazonaws.com.cn"),
        ("http://minio.storage:9000/", "us-east-1", "http://minio.storage:9000"),
        ("https://s3.amazonaws.com.example.org", "", "https://s3.amazonaws.com.example.org"),
    ],
)
def test_who_lends_is_awss_own_of_the_region_or_the_store_itself(
    endpoint: str, region: str, sts: str
) -> None:
    assert sts_of(endpoint, region) == sts


@pytest.mark.parametrize("text", ["", "a.b.c", "a", "..", "a.bnVsbA.c", "a.\N{SNOWMAN}.c"])
def test_what_is_no_token_claims_nothing(text: str) -> None:
    assert claims_of(text) == {}
    assert claims_of(token_of())["sub"] == SUBJECT
