"""Routes of a job's log: by place, by line, by time, searched, and as a file."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

from aiohttp import web

from sihl_dashboard.records import JobRef, Line, Log, Page, Records, Spot
from sihl_dashboard.server import asked
from sihl_dashboard.server.answers import response
from sihl_dashboard.server.documents import Document, log_document, spelled
from sihl_dashboard.server.project import question, safe_name
from sihl_dashboard.server.state import state_of

_LINES, _MOST_HITS, _MOST_BYTES = 500, 1000, 64 << 20
_PIECE = 1 << 20


async def log(request: web.Request) -> web.StreamResponse:
    """GET .../log: lines forward or backward from somewhere."""
    ref = asked.ref_of(request)
    attempt = asked.attempt_of(request)
    count = asked.count_of(request, _LINES)
    is_backward = asked.choice(request, "direction", ("forward", "backward")) == "backward"
    line, at = asked.number(request, "line", int), asked.number(request, "at", float)
    start = request.query.get("from") or ("END" if is_backward else "START")

    def work(records: Records) -> Document:
        found = _log(records, ref, attempt)
        if line is not None and not is_backward:
            return log_document(found, found.numbered(line, count))
        if line is not None:
            spot = found.numbered(line, 1).before
        elif at is not None:
            spot = found.written_at(at)
        else:
            spot = asked.spot_of(start, found.start, found.end)
        page = found.backward(spot, count) if is_backward else found.forward(spot, count)
        return log_document(found, page)

    state = state_of(request)
    version = state.hub.of_jobs([ref])
    return response(request, await state.answered(question(request), ref.namespace, work, version))


async def search(request: web.Request) -> web.StreamResponse:
    """GET .../log/search: lines that have a text in them, or tell of errors."""
    ref = asked.ref_of(request)
    attempt = asked.attempt_of(request)
    count = asked.count_of(request, 100, _MOST_HITS)
    is_backward = asked.choice(request, "direction", ("forward", "backward")) == "backward"
    needle = request.query.get("q", "")
    is_error = asked.choice(request, "kind", ("text", "error")) == "error"
    sought = None if is_error else needle
    start = request.query.get("from") or ("END" if is_backward else "START")

    def work(records: Records) -> Document:
        found = _log(records, ref, attempt)
        spot = asked.spot_of(start, found.start, found.end)
        if is_backward:
            lines, more, after = _before(found, sought, spot, count)
        else:
            page = found.search(sought, spot, count, _MOST_BYTES)
            lines, more, after = page.lines, not page.is_end, page.after
        hits = [
            {"spot": spelled(each.spot), "number": found.number_of(each.spot), "text": each.text}
            for each in lines
        ]
        return {"hits": hits, "more": more, "after": spelled(after)}

    state = state_of(request)
    version = state.hub.of_jobs([ref])
    return response(request, await state.answered(question(request), ref.namespace, work, version))


def _before(log: Log, needle: str | None, spot: Spot, count: int) -> tuple[list[Line], bool, Spot]:
    """The last hits before a place, in the log's order; whether there are more before them."""
    found: deque[Line] = deque(maxlen=count)
    seen, at = 0, log.start
    while at < spot:
        page: Page = log.search(needle, at, _MOST_HITS, _MOST_BYTES)
        here = [line for line in page.lines if line.spot < spot]
        found.extend(here)
        seen += len(here)
        if page.is_end or len(here) < len(page.lines) or page.after <= at:
            break
        at = page.after
    return list(found), seen > len(found), found[0].spot if found else log.start


def _log(records: Records, ref: JobRef, attempt: int | None) -> Log:
    records.job(ref, max_age=60.0)  # it is there
    return records.log(ref, attempt)


async def download(request: web.Request) -> web.StreamResponse:
    """GET .../log.txt: all of it, as it was written."""
    ref = asked.ref_of(request)
    attempt = asked.attempt_of(request)
    state = state_of(request)
    found = await state.read(ref.namespace, lambda records: _log(records, ref, attempt))
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{safe_name(ref.job)}.log.txt"',
    }
    if request.method == "HEAD":
        return web.Response(headers=headers)
    answer = web.StreamResponse(headers=headers)
    answer.enable_compression()
    pieces = found.pieces(_PIECE)
    with suppress(ConnectionError):  # who reads may have enough
        await answer.prepare(request)
        while (piece := await state.read(ref.namespace, lambda _: next(pieces, None))) is not None:
            await answer.write(piece)
        await answer.write_eof()
    return answer
