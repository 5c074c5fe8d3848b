"""`check`: would this job be accepted, find its data, and find in it what its heads learn from?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from sihl_api.dataset import Credentials, S3Location
from sihl_api.oddities import oddities
from sihl_api.runtime import DATASET_KEYS, DATASET_OPTIONAL_KEYS, STORE_SECRET
from sihl_api.trainingjob import TrainingJobSpec
from sihl_dashboard.cli import manifests, store
from sihl_dashboard.cli.assignments import parse
from sihl_dashboard.cli.errors import (
    AwayError,
    CommandError,
    DeniedError,
    NotFoundError,
    TakenError,
)
from sihl_dashboard.cli.findings import Finding, is_faulty, mend, odd, ok, told, unknown
from sihl_dashboard.cli.firstlook import first_look
from sihl_dashboard.cli.forwarding import is_within
from sihl_dashboard.cli.session import Session
from sihl_dashboard.records import RecordsError, S3Place, S3Settings, StoreAwayError

_RULES = "schema and rules"
_NOT_THE_POD = "only its pod can be the service account"
_ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
_PATIENCE = {"attempts": 1, "timeout": 10}


def check(session: Session) -> int:
    """Print what was looked at, a line each; returns 0 where nothing is to be mended."""
    options = session.options
    job = manifests.read(options.filename or options.file, session.stdin)
    if options.set or options.name:
        job = manifests.changed(job, [parse(text) for text in options.set], options.name)
    if not options.local:
        options.namespace = options.namespace or job["metadata"].get("namespace")
    findings = list(_looked_at(session, job))
    session.terminal.say(*told(findings))
    return 1 if is_faulty(findings) else 0


def _looked_at(session: Session, job: Mapping[str, Any]) -> Iterator[Finding]:
    is_asked = False
    if not session.options.local:
        try:
            yield from _by_cluster(session, job)
            is_asked = True
        except (AwayError, DeniedError) as error:
            yield unknown("cluster", f"{error}; --local leaves it out")
        except NoClusterError as error:
            yield unknown("cluster", f"{error}; --local leaves it out")
    if not is_asked:
        yield from _by_rules(job)
    try:
        spec = TrainingJobSpec.model_validate(job["spec"])
    except ValidationError:
        yield unknown("dataset", "not looked at, before the job is mended")
        return
    for each in oddities(spec, job["metadata"]):
        yield odd("settings", each)
    looker = _Looker(session, is_asked)
    if is_asked:
        yield from looker.account(spec)
        yield from looker.store()
    yield from looker.dataset(spec)


class NoClusterError(CommandError):
    """There is no kubeconfig, or the cluster does not know training jobs."""


# --- the job ---------------------------------------------------------------------------------


def _by_cluster(session: Session, job: Mapping[str, Any]) -> Iterator[Finding]:
    """What the API server says that it would do."""
    try:
        cluster = session.cluster
    except CommandError as error:
        raise NoClusterError(str(error)) from None
    told = f"as the API server at {cluster.server} holds them, asked by a dry run"
    try:
        cluster.create(session.namespace, job, dry_run=True)
    except TakenError as error:
        yield ok(_RULES, told)
        yield mend("name", str(error))
        return
    except NotFoundError as error:
        yield mend("namespace", str(error))
        return
    except (AwayError, DeniedError):
        raise
    except CommandError as error:
        yield mend(_RULES, str(error))
        return
    yield ok(_RULES, told)


def _by_rules(job: Mapping[str, Any]) -> Iterator[Finding]:
    """What this release's own schema and rules say."""
    from sihl_api.rules import job_faults  # its CEL takes a third of a second to import

    metadata = job["metadata"]
    named = {**job, "metadata": {"name": f"{metadata.get('generateName')}00000", **metadata}}
    _, faults = job_faults(named)
    for fault in faults:
        yield mend(_RULES, fault)
    if not faults:
        yield ok(_RULES, "as this release has them; no cluster was asked")


# --- its store and its data ------------------------------------------------------------------


@dataclass
class _Looker:
    """Looks into buckets with the keys that the job would have, or with one's own."""

    session: Session
    has_cluster: bool
    within: str = ""
    """The store's address as the cluster has it, where --endpoint names the one from here."""

    def store(self) -> Iterator[Finding]:
        """The namespace's, where records and models go."""
        what = f"secret {STORE_SECRET}"
        try:
            keys = self.session.cluster.store(self.session.namespace)
            self.within = keys.get("endpoint", "")
            by_account = store.is_by_account(keys)
            if by_account:
                yield ok(what, "names a bucket, and has the pod's service account lent its keys")
                what = "store"
            settings = store.settings(keys)
        except DeniedError as error:
            yield unknown(what, str(error))
            return
        except NotFoundError as error:
            yield mend(what, f"{error}: jobs there have no place for their records; create it")
            return
        except store.NoKeyError as error:
            yield unknown(what, f"{_NOT_THE_POD}: {error}")
            return
        except (CommandError, RecordsError) as error:
            yield mend(what, str(error))
            return
        if by_account:
            yield unknown("store", f"{_NOT_THE_POD}: it is asked with your keys")
        else:
            yield ok(what, "names a bucket and keys")
        yield from self._reached("store", settings)

    def account(self, spec: TrainingJobSpec) -> Iterator[Finding]:
        """The service account that the job names: without it no pod is made."""
        name = spec.runner.service_account_name
        if not name:
            return
        what = f"account {name}"
        try:
            annotations = self.session.cluster.account(self.session.namespace, name)
        except DeniedError as error:
            yield unknown(what, str(error))
        except NotFoundError as error:
            yield mend(what, f"{error}: create it, or correct runner.serviceAccountName")
        except CommandError as error:
            yield mend(what, str(error))
        else:
            role = annotations.get(_ROLE_ANNOTATION)
            yield ok(what, f"is there, with the role {role}" if role else "is there")

    def dataset(self, spec: TrainingJobSpec) -> Iterator[Finding]:
        """Each split's Secret, bucket, metadata and images."""
        for split, location in (("train", spec.dataset.train),
                                ("validation", spec.dataset.validation)):  # fmt: skip
            if location is None:
                continue
            keys: Mapping[str, str] | None = {}
            if location.credentials is not None:
                found, keys = self._keys(location, location.credentials, split)
                yield found
            if keys is None:
                yield unknown(f"{split}: bucket", "not looked at, without a key")
                continue
            settings = S3Settings(
                endpoint=location.endpoint, bucket=location.bucket,
                prefix=location.prefix.strip("/"),
                region=location.region or "", addressing=location.addressing,
                certificate_authority=location.certificate_authority or "",
                proxy=location.proxy or "",
                access_key_id=keys.get("accessKeyId", ""),
                secret_access_key=keys.get("secretAccessKey", ""),
                session_token=keys.get("sessionToken", ""),
            )  # fmt: skip
            place = S3Place(self._from_here(settings), **_PATIENCE)
            try:
                yield from first_look(place, split, spec.model.heads)
            except StoreAwayError as error:
                yield self._away(f"{split}: bucket", settings, error)
            except RecordsError as error:
                yield mend(f"{split}: bucket", str(error))

    def _keys(
        self, location: S3Location, credentials: Credentials, split: str
    ) -> tuple[Finding, Mapping[str, str] | None]:
        """Keys as the job would have them; without a cluster one's own."""
        secret = credentials.secret_name
        what = f"{split}: secret {secret}" if secret else f"{split}: service account"
        if secret is None or not self.has_cluster:
            why = "no cluster was asked" if secret else _NOT_THE_POD
            try:
                keys = store.own_keys(f"s3://{location.bucket}")
            except CommandError as error:
                return unknown(what, str(error)), None
            return unknown(what, f"{why}: the keys are yours, not the job's"), keys
        try:
            keys = self.session.cluster.secret(self.session.namespace, secret)
        except DeniedError as error:
            return unknown(what, str(error)), None
        except NotFoundError as error:
            return mend(
                what,
                f"{error}: create it, by kubectl create secret generic {secret} "
                "--from-literal=accessKeyId=... --from-literal=secretAccessKey=...",
            ), None
        except CommandError as error:
            return mend(what, str(error)), None
        for key in DATASET_KEYS:
            value = keys.get(key, "").strip()
            if not value and key in DATASET_OPTIONAL_KEYS:
                continue
            if not value or not all("!" <= character <= "~" for character in value):
                return mend(
                    what,
                    f"its key {key} is {'no access key' if value else 'missing'}: correct it",
                ), None
        found = {key: keys[key].strip() for key in DATASET_KEYS if key in keys}
        return ok(what, " and ".join(found)), found

    def _reached(self, what: str, settings: S3Settings) -> Iterator[Finding]:
        place = S3Place(self._from_here(settings), **_PATIENCE)
        try:
            place.first(f"{settings.prefix}/" if settings.prefix else "")
        except StoreAwayError as error:
            yield self._away(what, settings, error)
        except RecordsError as error:
            yield mend(what, str(error))
        else:
            yield ok(what, f"{place.name} answers, and lets these keys list")

    def _from_here(self, settings: S3Settings) -> S3Settings:
        """With --endpoint in place of the store's own address, and a port-forward for others."""
        is_named = bool(self.session.options.endpoint)
        if is_named and settings.endpoint.rstrip("/") != self.within.rstrip("/"):
            return settings
        if not (is_named or self.has_cluster):
            return settings
        return replace(settings, endpoint=self.session.archive.reached(settings.endpoint))

    def _away(self, what: str, settings: S3Settings, error: StoreAwayError) -> Finding:
        is_same = self._from_here(settings).endpoint == settings.endpoint
        if is_within(settings.endpoint) and is_same:
            return unknown(
                what,
                f"{settings.endpoint} is an address within the cluster: to look at it from here, "
                "kubectl port-forward and --endpoint http://localhost:PORT",
            )
        return mend(what, str(error))
