"""What records answer, as the JSON that pages get; what is no finite number is null."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sihl_dashboard.records import (
    Curve,
    Curves,
    Difference,
    Differences,
    Job,
    Jobs,
    Log,
    Model,
    Page,
    Picture,
    SameImage,
    Spot,
    Trouble,
)
from sihl_dashboard.records.documents import dump
from sihl_dashboard.records.errors import printable
from sihl_dashboard.server.given import given_of

Document = dict[str, Any]
_MOST_TROUBLES = 100


def troubles_of(troubles: Iterable[Trouble]) -> list[Document]:
    """What could not be read, the first hundred."""
    found = list(dict.fromkeys(troubles))
    told = [{"where": each.where, "what": each.what} for each in found[:_MOST_TROUBLES]]
    if len(found) > _MOST_TROUBLES:
        told.append({"where": "", "what": f"and {len(found) - _MOST_TROUBLES} more like these"})
    return told


def jobs_document(jobs: Jobs) -> Document:
    """A project's jobs, as a table wants them."""
    look = jobs.look
    return {
        "rows": [{"job": row.ref.folder, "values": row.values} for row in jobs.rows],
        "total": jobs.total,
        "columns": jobs.columns,
        "look": {"at": look.at, "looked": look.looked, "due": look.due,
                 "isUnderWay": look.is_under_way},
        "troubles": troubles_of(jobs.troubles),
    }  # fmt: skip


def job_document(job: Job, model: Model | None) -> Document:
    """All of one job's record."""
    document = job.document
    summary = dump(job.summary)
    return {
        "job": job.ref.folder,
        "name": job.ref.job,
        "namespace": job.ref.namespace,
        "project": job.ref.project,
        "state": job.facts.get("job.state"),
        "document": {
            "name": document.name,
            "uid": document.uid,
            "createdAt": document.created_at,
            "image": document.image,
            "versions": document.versions,
            "isTyped": document.is_typed,
            "dataset": dump(document.dataset) if document.dataset else None,
        },
        "spec": document.spec,
        "given": given_of(document.spec) if document.is_typed else None,
        "summary": summary,
        "attempts": summary["attempts"],
        "isFinal": job.is_final,
        "model": model_document(model) if model else None,
        "troubles": troubles_of((*job.troubles, *document.troubles)),
    }


def model_document(model: Model) -> Document:
    """A final model: its files with their sizes and checksums."""
    return {
        "key": model.key,
        "step": model.manifest.step,
        "attempt": model.manifest.attempt,
        "savedAt": model.manifest.saved_at,
        "files": [
            {"name": name, "bytes": entry.bytes, "sha256": entry.sha256}
            for name, entry in sorted(model.manifest.files.items())
        ],
    }


def curves_document(curves: Curves, axis: str) -> Document:
    """Curves whose arrays are as long as the grid; null where a bucket holds no point."""
    buckets = curves.grid.buckets
    return {
        "grid": {"axis": axis, "first": curves.grid.first, "last": curves.grid.last,
                 "x": _positions(curves)},
        "curves": [_curve_document(curve, buckets) for curve in curves.curves],
        "ghosts": [_curve_document(curve, buckets) for curve in curves.ghosts],
        "points": curves.points,
        "buckets": curves.buckets,
        "gaps": curves.gaps,
        "troubles": troubles_of((*curves.troubles, *_too_large(curves))),
    }  # fmt: skip


def _too_large(curves: Curves) -> Iterator[Trouble]:
    """Of curves that have gaps because pages are given seven digits of a value, and no more."""
    for curve in curves.curves:
        last = curve.points.last
        if lost := int((np.isfinite(last) & (np.abs(last) > np.finfo(np.float32).max)).sum()):
            what = f"{lost} values of {printable(curve.metric)} are too large to be drawn"
            yield Trouble(curve.ref.folder, what)


def _positions(curves: Curves) -> NDArray[np.float64]:
    """Of each bucket where its last point lies, of any curve; else its middle."""
    edges = curves.grid.edges
    x = np.full(curves.grid.buckets, -np.inf)
    for curve in (*curves.curves, *curves.ghosts):
        np.maximum.at(x, curve.points.bucket, curve.points.x)
    return np.where(np.isfinite(x), x, (edges[:-1] + edges[1:]) / 2)


def _curve_document(curve: Curve, buckets: int) -> Document:
    points = curve.points

    def spread(values: NDArray[np.float64]) -> NDArray[np.float32]:
        found = np.full(buckets, np.nan, np.float32)
        with np.errstate(over="ignore"):
            found[points.bucket] = values
        found[~np.isfinite(found)] = np.nan
        return found

    clock = np.full(buckets, np.nan)
    clock[points.bucket] = np.round(curve.clock)
    clock[~np.isfinite(clock)] = np.nan
    return {
        "job": curve.ref.folder,
        "metric": curve.metric,
        "attempt": curve.attempt,
        "min": spread(points.min),
        "max": spread(points.max),
        "last": spread(points.last),
        "clock": clock,
    }


def spelled(spot: Spot) -> str:
    """A place in a log, as an address has it."""
    return f"{spot.attempt}:{spot.offset}"


def log_document(log: Log, page: Page) -> Document:
    """Some lines with their numbers; lines of a page follow each other."""
    first = log.number_of(page.lines[0].spot) if page.lines else 0
    return {
        "lines": [
            {
                "spot": spelled(line.spot),
                "number": number,
                "text": line.text,
                "cut": line.is_cut,
                "size": line.size,
            }
            for number, line in enumerate(page.lines, start=first)
        ],
        "before": spelled(page.before),
        "after": spelled(page.after),
        "isEnd": page.is_end,
        "count": log.count(),
    }


def differences_document(found: Differences) -> Document:
    """What differs between jobs, and what came of it."""

    def told(differences: Iterable[Difference]) -> list[Document]:
        return [
            {"path": each.path, "values": {ref.folder: fact for ref, fact in each.values.items()}}
            for each in differences
        ]

    return {
        "settings": told(found.settings),
        "dataset": told(found.dataset),
        "unknownData": [ref.folder for ref in found.unknown_data],
        "scores": [
            {"job": each.ref.folder, "metric": each.metric, "value": each.value,
             "step": each.step, "delta": each.delta, "isBetter": each.is_better}
            for each in found.scores
        ],
        "spreads": [
            {"metric": each.metric, "jobs": [ref.folder for ref in each.refs], "mean": each.mean,
             "deviation": each.deviation, "min": each.min, "max": each.max}
            for each in found.spreads
        ],
        "troubles": troubles_of(found.troubles),
    }  # fmt: skip


def picture_document(picture: Picture) -> Document:
    """One file of a validation."""
    return asdict(picture) | {"isImage": picture.is_image}


def same_image_document(image: SameImage) -> Document:
    """A validation image as several jobs saw it."""
    return {
        "head": image.head,
        "file": image.file,
        "pictures": {ref.folder: picture_document(p) for ref, p in image.pictures.items()},
        "disagreement": getattr(image, "disagreement", None),
    }
