"""The API server, with the user's own rights: the only module that speaks with it.

What it needs of RBAC, each only for the verbs that use it:
    sihl.ai trainingjobs: get list create patch;  "" pods, pods/log: get
    "" secrets: get (sihl-store; for `check` the dataset's too)
    and by kubectl, for a store within the cluster:
    "" services: get;  pods: get list;  pods/portforward: create
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from sihl_api.runtime import STORE_SECRET
from sihl_api.trainingjob import GROUP, PLURAL, VERSION
from sihl_dashboard.cli.contexts import chosen_context
from sihl_dashboard.cli.errors import (
    AwayError,
    CommandError,
    DeniedError,
    NotFoundError,
    TakenError,
)
from sihl_dashboard.cli.jobs import Job
from sihl_dashboard.cli.terminal import shown

_PAGE = 500
_TIMEOUT = (10, 30)
_STREAM_TIMEOUT = (10, 900)
"""A log that is silent for longer is asked for again."""
_JOB_UID_LABEL = f"{GROUP}/job-uid"
_ATTEMPT_LABEL = f"{GROUP}/attempt"
_LONGEST_LINE = 1 << 20


class Cluster:
    """One cluster, as one context of a kubeconfig names it.

    Args:
        environ: As for `chosen_context`.
        kubeconfig: Likewise.
        context: Likewise, its name.

    Raises:
        CommandError: there is no such file or context, or it cannot be used.
    """

    def __init__(
        self, environ: Mapping[str, str], kubeconfig: str | None = None, context: str | None = None
    ) -> None:
        found = chosen_context(environ, kubeconfig, context)
        configuration = found.configuration
        configuration.retries = False  # urllib3's own tries write warnings to the terminal
        api = client.ApiClient(configuration)
        self.namespace = found.namespace
        self.server = str(configuration.host)
        self.configuration = configuration
        self._jobs = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)

    def jobs(self, namespace: str | None, selector: str = "") -> list[Job]:
        """All jobs of a namespace, or of all (None), that meet a label selector."""
        what = f"training jobs with -l {shown(selector)}" if selector else "training jobs"
        found: list[Job] = []
        following = None
        while True:
            options = {"limit": _PAGE, "label_selector": selector, "_request_timeout": _TIMEOUT}
            if following:
                options["_continue"] = following
            with self._asked(what, namespace):
                if namespace is None:
                    page = self._jobs.list_cluster_custom_object(GROUP, VERSION, PLURAL, **options)
                else:
                    page = self._jobs.list_namespaced_custom_object(
                        GROUP, VERSION, namespace, PLURAL, **options
                    )
            found += [Job(_lean(each)) for each in page["items"]]
            following = page["metadata"].get("continue")
            if not following:
                return found

    def sees_all(self) -> bool:
        """Whether the user may list the jobs of all namespaces."""
        try:
            with self._asked("training jobs", None):
                self._jobs.list_cluster_custom_object(
                    GROUP, VERSION, PLURAL, limit=1, _request_timeout=_TIMEOUT
                )
        except DeniedError:
            return False
        return True

    def job(self, namespace: str, name: str) -> Job:
        """One job. Raises NotFoundError."""
        with self._asked(f"training job {shown(name)}", namespace):
            return Job(
                _lean(
                    self._jobs.get_namespaced_custom_object(
                        GROUP, VERSION, namespace, PLURAL, name, _request_timeout=_TIMEOUT
                    )
                )
            )

    def create(self, namespace: str, job: Mapping[str, Any], dry_run: bool = False) -> Job:
        """Submit a job; the API server refuses fields that it does not know.

        Args:
            namespace: Where to.
            job: Its document.
            dry_run: Whether the API server is to say what it would do, and do nothing.

        Raises:
            TakenError: the name is; the job is valid but for that.
        """
        metadata = job["metadata"]
        name = shown(metadata.get("name") or f"{metadata.get('generateName')}...")
        with self._asked(f"training job {name}", namespace):
            return Job(
                self._jobs.create_namespaced_custom_object(
                    GROUP, VERSION, namespace, PLURAL, dict(job), field_validation="Strict",
                    _request_timeout=_TIMEOUT, **({"dry_run": "All"} if dry_run else {}),
                )
            )  # fmt: skip

    def suspend(self, namespace: str, name: str, suspend: bool) -> Job:
        """Ask a job to stop, or to go on."""
        with self._asked(f"training job {shown(name)}", namespace):
            return Job(
                self._jobs.patch_namespaced_custom_object(
                    GROUP, VERSION, namespace, PLURAL, name, {"spec": {"suspend": suspend}},
                    _request_timeout=_TIMEOUT,
                )
            )  # fmt: skip

    def store(self, namespace: str) -> dict[str, str]:
        """The namespace's store, by the keys of its Secret. Raises as `secret`."""
        return self.secret(namespace, STORE_SECRET)

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """A Secret's values by their keys.

        Raises:
            DeniedError: the user may not read Secrets.
            NotFoundError: there is none of that name.
        """
        what = f"the secret {shown(name)}"
        with self._asked(what, namespace):
            secret = self._core.read_namespaced_secret(name, namespace, _request_timeout=_TIMEOUT)
        try:
            return {k: base64.b64decode(v).decode() for k, v in (secret.data or {}).items()}
        except ValueError:
            raise CommandError(
                f"{what} of {shown(namespace)} holds what is no text: correct it"
            ) from None

    def account(self, namespace: str, name: str) -> dict[str, str]:
        """A service account's annotations. Raises DeniedError, NotFoundError."""
        with self._asked(f"the service account {shown(name)}", namespace):
            found = self._core.read_namespaced_service_account(
                name, namespace, _request_timeout=_TIMEOUT
            )
        return dict(found.metadata.annotations or {})

    def has_pod(self, job: Job) -> bool:
        """Whether the job's present attempt has a pod.

        The pod's name is the queue's: before and after other jobs have it.
        """
        name = job.status.pod_name
        if not name:
            return False
        try:
            with self._asked(f"pod {shown(name)}", job.namespace):
                pod = self._core.read_namespaced_pod(name, job.namespace, _request_timeout=_TIMEOUT)
        except NotFoundError:
            return False
        labels = pod.metadata.labels or {}
        return (labels.get(_JOB_UID_LABEL), labels.get(_ATTEMPT_LABEL)) == (
            job.uid, str(job.attempt),
        )  # fmt: skip

    def log(
        self, job: Job, container: str, follow: bool = False, tail: int | None = None
    ) -> Iterator[str]:
        """Lines of a container of the job's pod, as they stand; with `follow`, until it ends."""
        options: dict[str, Any] = {"tail_lines": tail} if tail is not None else {}
        with self._asked(f"the log of {shown(job.name)}", job.namespace):
            answer = self._core.read_namespaced_pod_log(
                job.status.pod_name, job.namespace, container=container, follow=follow,
                _preload_content=False, _request_timeout=_STREAM_TIMEOUT, **options,
            )  # fmt: skip
            try:
                yield from _lines(answer)
            finally:
                answer.close()

    @contextmanager
    def _asked(self, what: str, namespace: str | None) -> Iterator[None]:
        where = f"namespace {shown(namespace)}" if namespace is not None else "all namespaces"
        try:
            yield
        except ApiException as error:
            raise _explained(error, what, where) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            told = shown(getattr(error, "reason", None) or error, 150)
            raise AwayError(
                f"the cluster at {shown(self.server)} did not answer ({told}): check the context, "
                "and that it can be reached from here"
            ) from None


def _lean(raw: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
    return {**raw, "metadata": kept}


def _lines(answer: Any) -> Iterator[str]:
    """Lines as they come; of one without an end, pieces."""
    rest = b""
    for part in answer.stream(1 << 16):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
        if len(rest) > _LONGEST_LINE:
            yield rest.decode(errors="replace")
            rest = b""
    if rest:
        yield rest.decode(errors="replace")


def _explained(error: ApiException, what: str, where: str) -> CommandError:
    try:
        told = json.loads(error.body)
        message, reason = str(told["message"]), str(told.get("reason", ""))
    except (ValueError, TypeError, KeyError, LookupError):
        message, reason = str(error.body or error.reason or ""), ""
    message = shown(message, 1500)
    match error.status:
        case 401:
            return DeniedError("the cluster does not know you (401): log in again, as kubectl does")
        case 403:
            return DeniedError(f"you may not have {what} in {where}: {message}")
        case 404 if not reason:
            return CommandError(
                "the cluster does not know training jobs: install the operator, or choose "
                "another --context"
            )
        case 404 if message.startswith("namespaces "):
            return NotFoundError(f"there is no {where}: choose one by -n")
        case 404:
            return NotFoundError(f"there is no {what.removeprefix('the ')} in {where}")
        case 409 if reason == "AlreadyExists":
            return TakenError(f"{what} exists already in {where}: choose another --name")
        case 408 | 429:
            return AwayError(f"the cluster is busy: {message}")
        case status if status is None or status >= 500:
            return AwayError(f"the cluster did not answer as it should ({status}): {message}")
    return CommandError(f"the cluster refuses {what}: {message}")
