"""What is recorded of jobs, and where that lies: read once a command needs it."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from sihl_dashboard.cli import store
from sihl_dashboard.cli.errors import CommandError, NotFoundError
from sihl_dashboard.cli.forwarding import Forward, Service, is_known_here, service_of
from sihl_dashboard.cli.terminal import shown
from sihl_dashboard.records import Job, JobRef, MissingError, Place, Records

if TYPE_CHECKING:
    from sihl_dashboard.cli.session import Session


class Archive:
    """Of one command: the records of the namespaces that it reads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._others: dict[str, Records] = {}
        self._forwards: dict[Service, Forward | None] = {}
        self._lock = threading.Lock()

    @cached_property
    def place(self) -> Place:
        """Where the records lie. Raises CommandError, RecordsError."""
        if self._session.record:
            return store.named_place(
                self._session.record, self._session.options.endpoint, self._session.environ
            )
        return self.place_of(self._session.namespace)

    def place_of(self, namespace: str) -> Place:
        """The store of a namespace of the cluster. Raises CommandError, SettingsError."""
        return store.cluster_place(self._session.cluster.store, namespace, self.reached)

    def reached(self, endpoint: str) -> str:
        """A store's address from here: --endpoint, or one within the cluster by a port-forward."""
        if self._session.options.endpoint:
            return str(self._session.options.endpoint)
        service = service_of(endpoint)
        if service is None or is_known_here(endpoint):
            return endpoint
        with self._lock:
            if service not in self._forwards:
                try:
                    self._forwards[service] = Forward(
                        service, self._session.kubectl_options, self._session.environ
                    )
                except CommandError as error:
                    self._session.terminal.note(
                        f"note: no kubectl port-forward to {endpoint}: {error}"
                    )
                    self._forwards[service] = None
            found = self._forwards[service]
        return found.endpoint if found else endpoint

    @cached_property
    def records(self) -> Records:
        """Close the session when they are not needed any more."""
        return Records(self.place, self._session.scratch)

    def records_of(self, namespace: str) -> Records:
        """Those of another namespace of the cluster."""
        if self._session.record or namespace == self._session.namespace:
            return self.records
        if namespace not in self._others:
            self._others[namespace] = Records(self.place_of(namespace), self._session.scratch)
        return self._others[namespace]

    def ref(self, name: str) -> JobRef:
        """The record of a job of that name: the present one's, or the latest of earlier ones.

        Raises:
            CommandError: there is none.
        """
        if self._session.record:
            return store.find(self.records, self.place, self._session.namespace, name)
        try:
            job = self._session.cluster.job(self._session.namespace, name)
        except NotFoundError as missing:
            return self._earlier(name, missing)
        return JobRef.of(self._session.namespace, job.project, job.name, job.uid)

    def _earlier(self, name: str, missing: NotFoundError) -> JobRef:
        """The record of a job that the cluster does not have any more. Raises CommandError."""
        try:
            return store.find(self.records, self.place, self._session.namespace, name)
        except NotFoundError:
            listing = f"kubectl sihl list -n {self._session.namespace}"
            told = f"nor is there a record of an earlier one: {listing}"
            raise NotFoundError(f"{missing}, {told} shows the jobs that there are") from None
        except CommandError as error:
            raise CommandError(f"{missing}; of an earlier one nothing is known: {error}") from None

    def recorded(self, ref: JobRef) -> Job:
        """What is recorded of a job. Raises CommandError: nothing is, yet."""
        try:
            return self.records.job(ref)
        except MissingError:
            raise CommandError(
                f"{ref.job} has no record in {shown(self.place.name)}: it has one once it has "
                "started"
            ) from None

    def latest(self, name: str) -> JobRef:
        """What `@latest` stands for. Raises CommandError."""
        return store.latest(name, self.records, self._session.namespace)

    def only_namespace(self) -> str:
        """The one that the record has. Raises CommandError: it has none, or several."""
        return store.only_namespace(self.place)

    def close(self) -> None:
        """Let go of what was opened."""
        if "records" in vars(self):
            self.records.close()
        for records in self._others.values():
            records.close()
        for forward in self._forwards.values():
            if forward is not None:
                forward.close()
