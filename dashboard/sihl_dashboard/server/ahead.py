"""What a page asks first, known before it asks.

The first questions are told to the browser with the page: it asks while it loads the modules.
Nothing but what the page asks in any case and at once: an answer that is not taken lies there, and
would be taken for a later one's. The answer that depends on an earlier one is made here before the
page has understood that one. The addresses are spelled as the pages spell them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sihl_dashboard.records.early import MOST_COMPARED

API = "/api/v1"
_PLAIN = re.compile(r"[A-Za-z0-9.-]+")
"""Names that are spelled alike everywhere."""
_LONGEST = 2000
"""Proxies in front take no long headers."""


def first_asked(page: str, names: Mapping[str, str], jobs: str | None) -> list[str]:
    """The addresses.

    Args:
        page: Its module's name.
        names: The namespace, project and job of its address, as far as it has them.
        jobs: Those that its address chooses, with commas between; None where it says nothing.
    """
    if page == "login":
        return []
    found = [f"{API}/me"]
    if "project" not in names or not all(map(_PLAIN.fullmatch, names.values())):
        return found
    base = f"{API}/namespaces/{names['namespace']}/projects/{names['project']}"
    chosen = [each for each in (jobs or "").split(",") if each not in ("", "-")][:MOST_COMPARED]
    if page == "job":
        chosen = [names["job"]]
        found.append(f"{base}/jobs/{names['job']}")
    else:
        found.append(f"{base}/jobs?limit=1")
    if chosen and all(map(_PLAIN.fullmatch, chosen)):
        found.append(f"{base}/metrics?jobs={'%2C'.join(chosen)}")
    return [each for each in found if len(each) <= _LONGEST]


def link_of(addresses: list[str]) -> str:
    """The value of the header `Link`."""
    return ", ".join(f"<{each}>; rel=preload; as=fetch; crossorigin" for each in addresses)


def first_curves(jobs: str, names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The query for the curves that a page draws first, unless its address has another view.

    Args:
        jobs: As the page asked for these names.
        names: Of metrics, by `validation` and `train`.

    Returns:
        Parameters by name; none where there is nothing to draw.
    """
    metrics = [f"{kind}/{name}" for kind in ("validation", "train") for name in names[kind]]
    if not metrics:
        return {}
    return {"jobs": jobs, "metrics": metrics[0], "axis": "step", "buckets": "500", "ghosts": "1"}
