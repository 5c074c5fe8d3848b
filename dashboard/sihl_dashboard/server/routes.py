"""Every address, and what a person must be allowed before its handler runs.

A path that names a namespace is guarded by it: that is not for a handler to remember.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from sihl_dashboard.server import actions, job, joblog, login, overview, pages, probes, project
from sihl_dashboard.server.ahead import API
from sihl_dashboard.server.stream import stream

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Need = Literal["nothing", "person", "jobs", "logs", "act"]
"""`nothing`: anybody; `person`: somebody known; `jobs` and `logs`: the right to the path's
namespace; `act`: somebody known, on their own page, with a token of their own."""

_NAMESPACE = f"{API}/namespaces/{{namespace}}"
_PROJECT = f"{_NAMESPACE}/projects/{{project}}"
_JOB = f"{_PROJECT}/jobs/{{job}}"
_TRAINING = f"{_NAMESPACE}/trainingjobs"


@dataclass(frozen=True)
class Route:
    """One address."""

    method: str
    path: str
    handler: Handler
    need: Need

    @property
    def methods(self) -> tuple[str, ...]:
        """What is answered there: of what can be got, the headers alone too."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


ROUTES = (
    Route("GET", "/healthz", probes.healthz, "nothing"),
    Route("GET", "/readyz", probes.readyz, "nothing"),
    Route("GET", "/metrics", probes.metrics, "nothing"),
    Route("POST", f"{API}/login", login.login, "nothing"),
    Route("POST", f"{API}/logout", login.logout, "nothing"),
    Route("GET", f"{API}/me", overview.me, "person"),
    Route("GET", f"{API}/overview", overview.overview, "person"),
    Route("GET", f"{API}/stream", stream, "person"),
    Route("GET", f"{_PROJECT}/jobs", project.jobs, "jobs"),
    Route("GET", f"{_PROJECT}/curves", project.curves, "jobs"),
    Route("GET", f"{_PROJECT}/metrics", project.metrics, "jobs"),
    Route("GET", f"{_PROJECT}/differences", project.differences, "jobs"),
    Route("GET", f"{_PROJECT}/same-images", project.same_images, "jobs"),
    Route("GET", f"{_PROJECT}/export.csv", project.export_csv, "jobs"),
    Route("GET", f"{_PROJECT}/export.json", project.export_json, "jobs"),
    Route("GET", _JOB, job.job, "jobs"),
    Route("GET", f"{_JOB}/manifest.yaml", job.next_job, "jobs"),
    Route("GET", f"{_JOB}/pictures", job.pictures, "jobs"),
    Route("GET", f"{_JOB}/pictures/{{step}}/{{head}}/{{attempt}}/{{file}}", job.picture, "jobs"),
    Route("GET", f"{_JOB}/log", joblog.log, "logs"),
    Route("GET", f"{_JOB}/log/search", joblog.search, "logs"),
    Route("GET", f"{_JOB}/log.txt", joblog.download, "logs"),
    Route("POST", _TRAINING, actions.submit, "act"),
    Route("PATCH", f"{_TRAINING}/{{name}}", actions.change, "act"),
    Route("DELETE", f"{_TRAINING}/{{name}}", actions.delete, "act"),
    Route("GET", f"{API}/{{rest:.*}}", pages.nothing, "person"),
    Route("GET", "/static/{path:.+}", pages.static, "nothing"),
    Route("GET", "/assets/uplot/{file}", pages.asset, "nothing"),
    Route("GET", "/", pages.index, "nothing"),
    Route("GET", "/login", pages.index, "nothing"),
    Route("GET", "/{namespace}/{project}", pages.index, "nothing"),
    Route("GET", "/{namespace}/{project}/{job}", pages.index, "nothing"),
    Route("GET", "/{rest:.*}", pages.unknown, "nothing"),
)
