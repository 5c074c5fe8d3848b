"""The pages themselves: one index.html, modules and styles, and uPlot; the same for everybody."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

from aiohttp import web

from sihl_dashboard.server.ahead import first_asked, link_of
from sihl_dashboard.server.answers import Answer, answer_of, response
from sihl_dashboard.server.modules import page_of, parted, version_of
from sihl_dashboard.server.refusals import NotThereError

STATIC = Path(__file__).parents[1] / "static"
ASSETS = web.AppKey("assets", Path)
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


async def index(request: web.Request) -> web.StreamResponse:
    """The page; its script reads the address."""
    page = _page(request)
    answer = response(request, answer_of(page_of(STATIC, page), KINDS[".html"]))
    if first := first_asked(page, request.match_info, request.query.get("jobs")):
        answer.headers["Link"] = link_of(first)
    return answer


def make_ready(assets: Path) -> None:
    """Read, hash and compress all that pages take, before the first browser waits for it."""
    for page in (STATIC / "pages").glob("*.mjs"):
        page_of(STATIC, page.stem)
    for root in (STATIC, assets / "uplot"):
        for file in root.rglob("*"):
            if file.suffix in KINDS:
                _read(root, file.relative_to(root).as_posix())


def _page(request: web.Request) -> str:
    """The name that main.mjs, which reads the address too, finds for it."""
    if "job" in request.match_info:
        return "job"
    if "project" in request.match_info:
        return "compare"
    return "login" if request.path == "/login" else "overview"


async def static(request: web.Request) -> web.StreamResponse:
    """GET /static/...: a module or a style; under its version it never changes."""
    version, path = parted(request.match_info["path"])
    found = response(request, _read(STATIC, path))
    if version is not None and version == _version(int(time.monotonic())):
        found.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    return found


async def asset(request: web.Request) -> web.StreamResponse:
    """GET /assets/uplot/...: a file that was fetched by its hash."""
    return response(request, _read(request.app[ASSETS] / "uplot", request.match_info["file"]))


async def unknown(request: web.Request) -> web.StreamResponse:
    """No page's address: who looks is told so on a page, a program as by the API."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise NotThereError("there is no such page", "go to the overview, at /")
    answer = response(request, answer_of(page_of(STATIC, "overview"), KINDS[".html"]))
    if answer.status == 200:
        answer.set_status(404)
    return answer


async def nothing(_: web.Request) -> web.StreamResponse:
    """What the API does not have."""
    raise NotThereError


@lru_cache(maxsize=1)
def _version(_: int) -> str:
    """Looked up once a second: a page asks for forty files at once, and each look is at all."""
    return version_of(STATIC)


def _read(root: Path, path: str) -> Answer:
    parts = path.split("/")
    kind = KINDS.get(Path(parts[-1]).suffix)
    if kind is None or any(part in ("", ".", "..") or "\\" in part or "\0" in part
                           for part in parts):  # fmt: skip
        raise NotThereError
    try:
        file = root.joinpath(*parts)
        changed = file.stat().st_mtime_ns
    except (OSError, ValueError):
        raise NotThereError from None
    return _kept(file, changed, kind)


@lru_cache(maxsize=200)
def _kept(file: Path, changed: int, kind: str) -> Answer:
    """A file's bytes, as long as it is the same."""
    return answer_of(file.read_bytes(), kind, str(changed))
