"""A place that remembers what never changes: segments, and the names of those that it has listed.

A job that runs writes a segment of metrics and of its log every five seconds, and merges them once
an hour: who looks at it all the time would list and read hundreds of them again and again.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from sihl_api.record import segments_of
from sihl_dashboard.records.errors import MissingError
from sihl_dashboard.records.place import Content, Item, Place

_LISTED = re.compile(r".*/attempts/\d+/(?:metrics|log)-", re.DOTALL)
_LARGEST = 1 << 16
_MOST_LISTINGS = 2000


@dataclass
class _Listing:
    """What was listed below a prefix.

    Attributes:
        items: By key.
        last: The latest single segment: later ones sort behind it. Sums do not.
        whole: When all of it was listed last.
        lock: Held by the one who lists.
    """

    items: dict[str, Item] = field(default_factory=dict)
    last: str = ""
    whole: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)


class Remembered:
    """Thread-safe.

    What is merged meanwhile is noticed when a piece is gone, when `forget` is told, and at the
    latest when a listing is old; until then pieces stand for their sum, and hold the same bytes.

    Args:
        place: The store.
        limit: Bytes of segments that are kept.
        old: Seconds after which all is listed again.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        place: Place,
        limit: int = 32 << 20,
        old: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.prefix, self.name, self.is_near = place.prefix, place.name, place.is_near
        self._place = place
        self._limit, self._old, self._clock = limit, old, clock
        self._lock = threading.Lock()
        self._listings: OrderedDict[str, _Listing] = OrderedDict()
        self._segments: OrderedDict[str, Content] = OrderedDict()
        self._size = 0

    def folders(self, prefix: str) -> list[str]:
        """Names, sorted, of what lies directly below a prefix that ends in a slash."""
        return self._place.folders(prefix)

    def items(self, prefix: str, after: str = "") -> list[Item]:
        """All objects whose key begins with the prefix, sorted by key."""
        if after or not _LISTED.fullmatch(prefix):
            return self._place.items(prefix, after)
        with self._lock:
            listing = self._listings.setdefault(prefix, _Listing())
            self._listings.move_to_end(prefix)
            if len(self._listings) > _MOST_LISTINGS:
                self._listings.popitem(last=False)
        with listing.lock:
            began = self._clock()
            if began - listing.whole < self._old and listing.last:
                found = self._place.items(prefix, listing.last)
            else:
                found = self._place.items(prefix)
                listing.items, listing.whole = {}, began
            listing.items |= {item.key: item for item in found}
            single = (key for key in listing.items if _is_single(key))
            listing.last = max(single, default="")
            return sorted(listing.items.values(), key=lambda item: item.key)

    def get(self, key: str) -> Content:
        """Read an object. Raises MissingError."""
        if (kept := self._kept(key)) is not None:
            return kept
        try:
            content = self._place.get(key)
        except MissingError:
            self.forget(key)
            raise
        if segments_of(key) and len(content.data) <= _LARGEST:
            self._keep(key, content)
        return content

    def changed(self, key: str, tag: str) -> Content | None:
        """Read an object unless its tag is this one still. Raises MissingError."""
        return self._place.changed(key, tag)

    def part(self, key: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (not included) of an object. Raises MissingError."""
        if (kept := self._kept(key)) is not None:
            return kept.data[start:end]
        try:
            return self._place.part(key, start, end)
        except MissingError:
            self.forget(key)
            raise

    def forget(self, key: str) -> None:
        """List anew what may have this key, or lies below it."""
        with self._lock:
            for prefix, listing in self._listings.items():
                if key.startswith(prefix) or prefix.startswith(key):
                    listing.whole = float("-inf")

    def _kept(self, key: str) -> Content | None:
        with self._lock:
            if key in self._segments:
                self._segments.move_to_end(key)
            return self._segments.get(key)

    def _keep(self, key: str, content: Content) -> None:
        with self._lock:
            if key not in self._segments:
                self._size += len(content.data)
            self._segments[key] = content
            while self._size > self._limit:
                _, gone = self._segments.popitem(last=False)
                self._size -= len(gone.data)


def _is_single(key: str) -> bool:
    held = segments_of(key)
    return held is not None and f"-{held[0]:06d}." in key
