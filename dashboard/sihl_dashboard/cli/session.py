"""What one command works with: the cluster and the records, each asked for once it is needed."""

from __future__ import annotations

import argparse
import shlex
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sihl_dashboard.cli import jobs, store
from sihl_dashboard.cli.arguments import PROGRAM
from sihl_dashboard.cli.endings import Ending
from sihl_dashboard.cli.errors import CommandError, NotFoundError
from sihl_dashboard.cli.forwarding import Forward, Service, is_known_here, service_of
from sihl_dashboard.cli.latest import is_latest, latest_job, latest_record
from sihl_dashboard.cli.terminal import Terminal, shown
from sihl_dashboard.records import Job, JobRef, MissingError, Place, Records, Trouble

if TYPE_CHECKING:
    from sihl_dashboard.cli.cluster import Cluster


@dataclass
class Session:
    """One command's options, terminal and surroundings."""

    options: argparse.Namespace
    terminal: Terminal
    stdin: TextIO
    environ: Mapping[str, str]
    _others: dict[str, Records] = field(default_factory=dict)
    _forwards: dict[Service, Forward | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def cluster(self) -> Cluster:
        """Of the context. Raises CommandError."""
        from sihl_dashboard.cli.cluster import Cluster  # its client takes half a second to import

        return Cluster(self.environ, self.options.kubeconfig, self.options.context)

    @property
    def record(self) -> str | None:
        """What `--record` names."""
        named: str | None = self.options.record
        return named

    @cached_property
    def namespace(self) -> str:
        """`-n`, or the context's; of a record that is named, the only one that it has."""
        if self.options.namespace:
            return str(self.options.namespace)
        return store.only_namespace(self.place) if self.record else self.cluster.namespace

    @cached_property
    def place(self) -> Place:
        """Where the records lie. Raises CommandError, RecordsError."""
        if self.record:
            return store.named_place(self.record, self.options.endpoint, self.environ)
        return self.place_of(self.namespace)

    def place_of(self, namespace: str) -> Place:
        """The store of a namespace of the cluster. Raises CommandError, SettingsError."""
        return store.cluster_place(self.cluster.store, namespace, self.reached)

    def reached(self, endpoint: str) -> str:
        """A store's address from here: --endpoint, or one within the cluster by a port-forward."""
        if self.options.endpoint:
            return str(self.options.endpoint)
        service = service_of(endpoint)
        if service is None or is_known_here(endpoint):
            return endpoint
        with self._lock:
            if service not in self._forwards:
                options = [
                    f"--{name}={value}"
                    for name in ("kubeconfig", "context")
                    if (value := getattr(self.options, name))
                ]
                try:
                    self._forwards[service] = Forward(service, options, self.environ)
                except CommandError as error:
                    self.terminal.note(f"note: no kubectl port-forward to {endpoint}: {error}")
                    self._forwards[service] = None
            found = self._forwards[service]
        return found.endpoint if found else endpoint

    @cached_property
    def records(self) -> Records:
        """Close the session when they are not needed any more."""
        return Records(self.place, self.scratch)

    def records_of(self, namespace: str) -> Records:
        """Those of another namespace of the cluster."""
        if self.record or namespace == self.namespace:
            return self.records
        if namespace not in self._others:
            self._others[namespace] = Records(self.place_of(namespace), self.scratch)
        return self._others[namespace]

    @property
    def scratch(self) -> Path:
        """For what is known of records, and may be lost."""
        cache = self.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(cache).expanduser() / "kubectl-sihl"

    def command(self, verb: str, job: jobs.Job, *flags: str) -> str:
        """What is to be typed next of a job, for the cluster and namespace that it is of."""
        named = ("kubeconfig", "context")
        where = [f"--{name}={value}" for name in named if (value := getattr(self.options, name))]
        if job.namespace != self.cluster.namespace:
            where += ["-n", job.namespace]
        return shlex.join([*PROGRAM.split(), verb, *flags, job.name, *where])

    def say_end(self, job: jobs.Job, end: Ending) -> None:
        """How a job ended, and what one may want to do next."""
        then = f"; {end.then[0]}: {self.command(end.then[1], job)}" if end.then else ""
        self.terminal.note(f"{end.text}{then}")

    def meant(self, name: str) -> str:
        """A job's name as it was typed, or what `@latest` stands for: of a record its folder."""
        if not is_latest(name):
            return name
        if self.record:
            return latest_record(name, self.records, self.namespace).folder
        return latest_job(name, self.cluster.jobs(self.namespace), self.namespace).name

    def ref(self, name: str) -> JobRef:
        """The record of a job of that name: the present one's, or the latest of earlier ones.

        Raises:
            CommandError: there is none.
        """
        if self.record:
            return store.find(self.records, self.place, self.namespace, name)
        try:
            job = self.cluster.job(self.namespace, name)
        except NotFoundError as missing:
            return self._earlier(name, missing)
        return JobRef(self.namespace, job.project, f"{job.name}.{job.uid[:8]}")

    def _earlier(self, name: str, missing: NotFoundError) -> JobRef:
        """The record of a job that the cluster does not have any more. Raises CommandError."""
        try:
            return store.find(self.records, self.place, self.namespace, name)
        except NotFoundError:
            told = f"nor is there a record of an earlier one: kubectl sihl list -n {self.namespace}"
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

    def tell(self, troubles: tuple[Trouble, ...] | list[Trouble]) -> None:
        """What could not be read, beside what could."""
        for trouble in troubles[:10]:
            self.terminal.note(f"note: {shown(trouble.where)}: {shown(trouble.what)}")
        if len(troubles) > 10:
            self.terminal.note(f"note: {len(troubles) - 10} more troubles like these")

    def close(self) -> None:
        """Let go of what was opened."""
        self.terminal.clear()
        if "records" in vars(self):
            self.records.close()
        for records in self._others.values():
            records.close()
        for forward in self._forwards.values():
            if forward is not None:
                forward.close()
