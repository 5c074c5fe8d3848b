"""A bucket's listings, whole, from stores that differ in how they tell them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from sihl_s3.answers import Fault, FaultError, Kind


class Listings:
    """Lists in pages.

    Args:
        ask: Does what is asked of a client; raises FaultError.
        bucket: Whose.
    """

    def __init__(self, ask: Callable[[Callable[[Any], Any]], Any], bucket: str) -> None:
        self._ask = ask
        self._bucket = bucket
        self._encodes_silently: bool | None = None

    def pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        """The pages of a listing.

        A store that knows the first version of the request only is asked by that: it answers
        the second one in the words of the first, and says not how to go on.

        Raises:
            FaultError: It came to nothing.
        """
        first = {"Bucket": self._bucket, **query}
        page = self._page("list_objects_v2", first)
        yield page
        before, empty = None, 0
        while page.get("IsTruncated"):
            empty = 0 if page.get("Contents") or page.get("CommonPrefixes") else empty + 1
            # Not every store lists in the order of the keys: what tells is where it goes on.
            after = page.get("NextContinuationToken") or _last(page)
            if after == before or empty > MOST_EMPTY:
                raise FaultError(_REPEATED)
            if page.get("NextContinuationToken"):
                page = self._page("list_objects_v2", {**first, "ContinuationToken": after})
            else:
                marked = {k: v for k, v in first.items() if k != "StartAfter"} | {"Marker": after}
                page = self._page("list_objects", marked)
            before = after
            yield page

    def _page(self, operation: str, query: Mapping[str, Any]) -> dict[str, Any]:
        page: dict[str, Any] = self._ask(lambda client: getattr(client, operation)(**query))
        if any("Key" not in each or each.get("Size", -1) < 0 for each in page.get("Contents", ())):
            raise FaultError(_SIZELESS)
        return page if page.get("EncodingType") or not self._encodes(page) else _decoded(page)

    def _encodes(self, page: Mapping[str, Any]) -> bool:
        """Whether a store encodes keys, as boto3 asks it to, and does not say so.

        Where keys alone do not tell, one of them is looked for.
        """
        if self._encodes_silently is None:
            keys = [item["Key"] for item in page.get("Contents", ())]
            if any(_PLAIN.search(key) for key in keys):
                self._encodes_silently = False
            elif doubtful := next((key for key in keys if unquote(key) != key), None):
                self._encodes_silently = not self._has(doubtful) and self._has(unquote(doubtful))
        return bool(self._encodes_silently)

    def _has(self, key: str) -> bool:
        try:
            self._ask(lambda client: client.head_object(Bucket=self._bucket, Key=key))
        except FaultError:
            return False
        return True


_REPEATED = Fault(Kind.SETTING, "Unsupported", "lists the same objects, or none, again and again",
                  "take a store that lists in pages")  # fmt: skip


_SIZELESS = Fault(Kind.SETTING, "Unsupported", "lists objects without their keys or sizes",
                  "take a store that tells them")  # fmt: skip
MOST_EMPTY = 1000
"""Pages in a row without an object, which there are where many were deleted."""
_PLAIN = re.compile(r'[^!-~]|[#?"<>]')
"""What a key has in it only where it is not encoded."""


def _decoded(page: Mapping[str, Any]) -> dict[str, Any]:
    objects = [{**item, "Key": unquote(item["Key"])} for item in page.get("Contents", ())]
    folders = [{"Prefix": unquote(item["Prefix"])} for item in page.get("CommonPrefixes", ())]
    return {**page, "Contents": objects, "CommonPrefixes": folders}


def _last(page: Mapping[str, Any]) -> str:
    keys = [item["Key"] for item in page.get("Contents", ())]
    return max([*keys, *(item["Prefix"] for item in page.get("CommonPrefixes", ()))], default="")
