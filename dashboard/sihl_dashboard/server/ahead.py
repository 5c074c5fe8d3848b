"""What a page asks for first, told with the page: a browser asks for it beside the page's modules.

By a header, so that the page itself stays the same for everybody. It must be the address that
api.mjs makes, letter by letter; of another the browser would ask for nothing.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

from aiohttp import web

_API = "/api/v1"
_MOST_JOBS = 50
"""So many a page compares (compareview.mjs)."""
_PLAIN = re.compile(r"[a-z0-9][a-z0-9.-]*")
"""Names that are spelled alike everywhere: Kubernetes' own."""


def first_asked(request: web.Request, page: str) -> str:
    """The header `Link` of a page of that name."""
    asked = [] if page == "login" else [f"{_API}/me"]
    names = [request.match_info.get(name, "") for name in ("namespace", "project")]
    jobs = request.query.get("jobs", "").split(",")
    if page == "compare" and len(jobs) <= _MOST_JOBS and all(map(_PLAIN.fullmatch, names + jobs)):
        query = urlencode({"jobs": ",".join(jobs)})
        asked.append(f"{_API}/namespaces/{names[0]}/projects/{names[1]}/metrics?{query}")
    return ", ".join(f"<{each}>; rel=preload; as=fetch; crossorigin" for each in asked)
