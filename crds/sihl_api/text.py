"""Texts of others, cut to fit into a message."""

from __future__ import annotations

_GAP = " ... "


def shortened(text: str, limit: int) -> str:
    """At most so many characters: what is left out is in the middle.

    A message begins with what it is about and ends with the cause, or with what to do.
    """
    if len(text) <= limit:
        return text
    head = (limit - len(_GAP)) // 2
    return text[:head] + _GAP + text[head + len(_GAP) + len(text) - limit :]
