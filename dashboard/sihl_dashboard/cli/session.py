"""What one command works with: the cluster and the records, each asked for once it is needed."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sihl_dashboard.cli import jobs
from sihl_dashboard.cli.arguments import PROGRAM
from sihl_dashboard.cli.endings import Ending
from sihl_dashboard.cli.latest import is_latest, latest_job
from sihl_dashboard.cli.terminal import Terminal, shown
from sihl_dashboard.records.errors import Trouble

if TYPE_CHECKING:
    from sihl_dashboard.cli.archive import Archive
    from sihl_dashboard.cli.cluster import Cluster


@dataclass
class Session:
    """One command's options, terminal and surroundings."""

    options: argparse.Namespace
    terminal: Terminal
    stdin: TextIO
    environ: Mapping[str, str]
    _told: set[Trouble] = field(default_factory=set)

    @cached_property
    def cluster(self) -> Cluster:
        """Of the context. Raises CommandError."""
        from sihl_dashboard.cli.cluster import Cluster  # its client takes half a second to import

        return Cluster(self.environ, self.options.kubeconfig, self.options.context)

    @cached_property
    def archive(self) -> Archive:
        """What is recorded. Raises CommandError."""
        from sihl_dashboard.cli.archive import Archive  # numpy and boto3 take as long again

        return Archive(self)

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
        return self.archive.only_namespace() if self.record else self.cluster.namespace

    @property
    def scratch(self) -> Path:
        """For what is known of records, and may be lost."""
        cache = self.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(cache).expanduser() / "kubectl-sihl"

    @property
    def kubectl_options(self) -> list[str]:
        """Which kubeconfig and context were named, as kubectl takes them too."""
        named = ("kubeconfig", "context")
        return [f"--{name}={value}" for name in named if (value := getattr(self.options, name))]

    def command(self, verb: str, job: jobs.Job, *flags: str) -> str:
        """What is to be typed next of a job, for the cluster and namespace that it is of."""
        where = self.kubectl_options
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
            return self.archive.latest(name).folder
        return latest_job(name, self.cluster.jobs(self.namespace), self.namespace).name

    def tell(self, troubles: Sequence[Trouble]) -> None:
        """What could not be read, beside what could; each once."""
        new = [trouble for trouble in troubles if trouble not in self._told]
        self._told.update(new)
        for trouble in new[:10]:
            self.terminal.note(f"note: {shown(trouble.where)}: {shown(trouble.what)}")
        if len(new) > 10:
            self.terminal.note(f"note: {len(new) - 10} more troubles like these")

    def close(self) -> None:
        """Let go of what was opened."""
        self.terminal.clear()
        if "archive" in vars(self):
            self.archive.close()
