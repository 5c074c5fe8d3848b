"""The records that the pages are shown: as trainers leave them, and as no trainer ever would.

team-a/cells      three jobs of one project: `night` went through two attempts, `day` differs by
                  its learning rate, `dusk` by its seed; with logs and pictures
team-a/harsh      one job, hostile in everything that a record holds
team-a/lengthy    one job with 200,000 lines of log
team-a/living     one job that goes on: a test appends to it
team-a/odd        two jobs of one name, which is long; of one of them nobody tells what ran
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from sihl_api.record import picture_file
from tests.support.recorded import SPEC, Recorded, changed, recorded, train, validation

BEGIN = datetime(2026, 1, 2, 3, tzinfo=UTC)
NIGHT, DAY, DUSK = "night.01234567", "day.89abcdef", "dusk.fedcba98"
LENGTHY, LIVING = "lengthy.01234567", "living.01234567"
SCRIPT = "<img src=x onerror=document.title='PWNED'><script>document.title='PWNED'</script>"
"""What runs where anything takes text for HTML."""
HARSH = "<img src=x onerror=document.title='PWNED'>.01234567"
SAME = "n" * 54
LINES = 200_000
_SIZE = 48
_STEPS = 100


def spelled(seconds: float) -> str:
    """A moment so long after the first job's begin, as a record has it."""
    return (BEGIN + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def write(root: Path) -> None:
    """All of them, into an empty folder."""
    _job(root, "night", "0123456789abcdef", shift=0, spec=SPEC, resumed=True)
    _job(root, "day", "89abcdef01234567", shift=9, spec=_spec(optimizer={"learningRate": 0.01}))
    _job(root, "dusk", "fedcba9876543210", shift=2, spec=_spec(seed=7))
    _harsh(root)
    _lengthy(root)
    _odd(root)
    living(root)


def living(root: Path) -> Recorded:
    """The record that goes on, with its first points."""
    job = recorded(root, "living", project="living")
    job.job({**SPEC, "project": "living"})
    job.metrics(1, 0, *(train(step, 1 / step, spelled(step)) for step in range(1, 11)))
    job.log(1, 0, "".join(f"{spelled(step)} INFO step {step}\n" for step in range(1, 11)))
    return job


def _spec(**training: Any) -> dict[str, Any]:
    return changed(SPEC, **training)


def _job(
    root: Path, name: str, uid: str, shift: int, spec: dict[str, Any], resumed: bool = False
) -> None:
    job = recorded(root, name, uid=uid)
    job.job(spec, created_at=spelled(60 * shift), dataset=_fingerprint(shift))
    end = 60 if resumed else _STEPS
    _attempt(job, 1, range(1, end + 1), shift)
    attempts = [_told(1, 0, end, "Stopped" if resumed else "Succeeded")]
    if resumed:  # what the first did behind step 40 is superseded
        _attempt(job, 2, range(41, _STEPS + 1), shift)
        attempts.append(
            {**_told(2, 300, _STEPS, "Succeeded"), "resumedAtStep": 40, "firstStep": 41}
        )
    last = {"step": _STEPS, "value": _score(_STEPS, shift)}
    score = {"last": last, "min": last, "max": last, "best": last, "better": "higher"}
    job.summary(attempts, validation={"boxes/map": score})
    for step in (20, 40, 100):
        _pictures(job, 2 if resumed and step > 40 else 1, step, shift)


def _told(number: int, begin: float, last: int, reason: str) -> dict[str, Any]:
    return {
        "number": number, "startedAt": spelled(begin), "fetchedAt": spelled(begin + 20),
        "trainedAt": spelled(begin + 30), "endedAt": spelled(begin + 30 + last),
        "firstStep": 1, "lastStep": last, "reason": reason,
    }  # fmt: skip


def _attempt(job: Recorded, number: int, steps: Iterable[int], shift: int) -> None:
    begin = 300 * (number - 1) + 30
    lines, log = [], [f"{spelled(begin)} INFO attempt {number} begins\n"]
    for step in steps:
        time = spelled(begin + step)
        lines.append(train(step, (1 + shift / 10) / step, time))
        if step % 20 == 0:
            lines.append(validation(step, _score(step, shift), time))
            log.append(f"{time} WARNING \x1b[33mslow store\x1b[0m at step {step}\n")
        log.append(f"{time} INFO step {step} loss {1 / step:.4f}\n")
    # All that a terminal can be asked for, to be read in each colour on each ground.
    inks = "".join(f"\x1b[{code}m{code} " for code in range(30, 38))
    grounds = "".join(f"\x1b[0;{code}m{code} " for code in (2, 7, *range(40, 48)))
    log.append(f"{inks}{grounds}\x1b[0m\n")
    log.append("fetched 10 %\rfetched 60 %\rfetched 100 %\n")
    if number == 1:
        log.append(
            "Traceback (most recent call last):\n\x1b[31;1mRuntimeError\x1b[0m: store away\n"
        )
    job.metrics(number, 0, *lines)
    job.log(number, 0, "".join(log))


def _score(step: int, shift: int) -> float:
    return 0.9 - 0.5 / step - shift / 100


def _fingerprint(shift: int) -> dict[str, Any]:
    digest = sha256(str(shift).encode()).hexdigest()
    annotations = {
        "digest": digest, "task": "ObjectDetection", "images": 12,
        "counts": {"cell": 40 + shift},
    }  # fmt: skip
    split = {"images": 12 + shift, "bytes": 4096, "objects": digest}
    return {"train": {**split, "annotations": {"boxes": annotations}}}


def _pictures(job: Recorded, attempt: int, step: int, shift: int) -> None:
    """Of four images; jobs agree on the first, and differ by a box more on each that follows."""
    folder = f"{job.paths.pictures(attempt, step)}boxes/"
    for number in range(4):
        job.put(folder + picture_file(f"{number}.jpg"), _sheet(number, step, shift))
    boxes = {f"{number}.jpg": [[1, 2, 3, 4]] for number in range(4)}
    job.put(folder + "annotations.json", json.dumps(boxes).encode())


def _sheet(number: int, step: int, shift: int) -> bytes:
    """Image, target and prediction side by side, as the trainer draws them; so many boxes."""
    sheet = Image.new("RGB", (3 * _SIZE + 8, _SIZE), "white")
    for panel in range(3):
        cell = Image.new("RGB", (_SIZE, _SIZE), (40 + 30 * number, 90, 120))
        draw = ImageDraw.Draw(cell)
        for box in range(number):
            left, top = 4, 4 + 14 * box
            draw.ellipse((left + 1, top + 1, left + 9, top + 9), fill="khaki")
            if panel:
                by = (shift + max(0, 100 - step) // 10) * (panel - 1)
                draw.rectangle((left + by, top, left + by + 10, top + 10), outline="red")
        sheet.paste(cell, (panel * (_SIZE + 4), 0))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _harsh(root: Path) -> None:
    """Names, numbers, clocks and lines that no trainer writes, but a record may hold."""
    job = recorded(root, HARSH.rpartition(".")[0], project="harsh")
    job.job(
        {**SPEC, "project": "harsh"}, image=SCRIPT, versions={SCRIPT: SCRIPT}, created_at=SCRIPT
    )
    told = {"number": 1, "startedAt": SCRIPT, "reason": SCRIPT, "firstStep": 1, "lastStep": 3}
    point = {"step": 3, "value": 0.5}
    metric = {"last": point, "min": point, "max": point, "best": point}
    job.summary([told], train={SCRIPT: metric}, updatedAt=SCRIPT)
    values = (math.nan, math.inf, -math.inf, 1e308, -1e308, 0.5)
    for number, value in enumerate(values):
        # The clock jumps back and far ahead; the last year that there is.
        time = ("2026-01-02T03:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z")[number % 3]
        line = {"time": time, "step": number + 1, "kind": "train"}
        job.metrics(1, number, {**line, "values": {"loss": value, SCRIPT: value, "__proto__": 1.0}})
    job.log(1, 0, f"2026-01-02T03:00:00Z INFO {SCRIPT}\n\x1b[31m{SCRIPT}\x1b[0m\n")
    job.log(1, 1, "1970-01-01T00:00:00Z INFO the clock was set back\n" + "x" * 10_000_000 + "\n")
    job.log(1, 2, "\x1b]0;PWNED\x07\x1b[999;5;;38;2mbroken\x1b[\x00\x7f\u202ereversed\n")
    job.put(f"{job.paths.pictures(1, 3)}boxes/{picture_file('a.jpg')}", SCRIPT.encode())
    job.put(f"{job.paths.pictures(1, 3)}boxes/annotations.json", SCRIPT.encode())


def _odd(root: Path) -> None:
    for uid in ("0000000a", "0000000b"):
        job = recorded(root, SAME, uid=uid, project="odd")
        measured = {"m" * 90: 1.0}
        job.metrics(1, 0, {**train(1, 1.0, spelled(1)), "values": measured})
        if uid == "0000000b":
            job.job({**SPEC, "project": "odd"})
            job.summary([_told(1, 0, 1, "Succeeded")])


def _lengthy(root: Path) -> None:
    job = recorded(root, "lengthy", project="lengthy")
    job.job({**SPEC, "project": "lengthy"})
    job.metrics(1, 0, *(train(step, 1 / step, spelled(step)) for step in range(1, 11)))
    lines = [f"{spelled(number / 10)} INFO line {number}\n" for number in range(LINES)]
    for number in (90_000, 150_000):
        lines[number] = f"{spelled(number / 10)} ERROR line {number} failed\n"
    job.log(1, 0, "".join(lines))
