"""Decodes every image and holds its annotations against its size, before a GPU waits for them."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from sihl_trainer.cpus import available_cpus
from sihl_trainer.data.feeds import Split
from sihl_trainer.data.images import decode_fully
from sihl_trainer.data.metadata import IMAGES
from sihl_trainer.errors import BadData
from sihl_trainer.fetch.progress import FetchProgress

log = logging.getLogger(__name__)

ENOUGH_FAULTS = 50
"""After these no more are looked for: the dataset needs a person already."""
_CHUNK = 1024
_MOST_THREADS = 8


def check_images(split: Split, progress: FetchProgress) -> None:
    """Decode all images of a split, in parallel, and check their annotations.

    Raises:
        BadData: An image that cannot be decoded, or an annotation that does not fit its image.
            The message is the first fault's, by name; the log has them all.
    """
    progress.checking(len(split.names))

    def check(name: str) -> BadData | None:
        fault = _fault(split, name)
        progress.advance(1)
        return fault

    faults: list[BadData] = []
    # Decoding releases the interpreter's lock, so threads use every core. Each holds a whole image.
    with ThreadPoolExecutor(min(available_cpus(), _MOST_THREADS)) as pool:
        for at in range(0, len(split.names), _CHUNK):
            found = pool.map(check, split.names[at : at + _CHUNK])
            faults.extend(fault for fault in found if fault is not None)
            if len(faults) >= ENOUGH_FAULTS:
                break
    for fault in faults[:ENOUGH_FAULTS]:
        log.error("%s", fault)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        more = f"and {len(faults) - 1} more: see the log"
        raise BadData(faults[0].reason, f"{faults[0]} ({more})")


def _fault(split: Split, name: str) -> BadData | None:
    try:
        width, height = decode_fully(split.folder / IMAGES / name)
    except BadData as fault:
        return fault
    for annotation_set in split.sets.values():
        if text := annotation_set.fault(name, width, height):
            return BadData("DatasetAnnotationInvalid", text)
    return None
