"""The pages themselves: one index.html, modules and styles, and uPlot; the same for everybody."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from aiohttp import web

from sihl_dashboard.server.answers import Answer, answer_of, response
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
    return response(request, _read(STATIC, "index.html"))


async def static(request: web.Request) -> web.StreamResponse:
    """GET /static/...: a module or a style."""
    return response(request, _read(STATIC, request.match_info["path"]))


async def asset(request: web.Request) -> web.StreamResponse:
    """GET /assets/uplot/...: a file that was fetched by its hash."""
    return response(request, _read(request.app[ASSETS] / "uplot", request.match_info["file"]))


async def nothing(_: web.Request) -> web.StreamResponse:
    """What the API does not have."""
    raise NotThereError


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
