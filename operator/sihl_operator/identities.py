"""Who may do what in the embedded store, and with which keys. Pure.

Keys are made in the cluster, once: what a chart makes up while it is rendered is another at each
rendering that cannot see the cluster. The Secret `sihl-store-identities` is their one place; the
namespaces' own Secrets and the dashboard's are copies of it.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

DASHBOARD = "dashboard.sihl.ai"
"""The dashboard's identity: with dots, the name of no namespace."""
EVERYBODY = "all"
"""Instead of names: everybody's keys are to be replaced."""
_WRITER = ("Read", "Write", "List", "Tagging")
_READER = ("Read", "List")
_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Keys:
    """With which an identity signs."""

    access: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Wanted:
    """What the chart asks for.

    Args:
        buckets: Namespace -> the bucket that it writes.
        seen: Namespace -> what the dashboard reads of it: endpoint, bucket, prefix; None: there
            is no dashboard, or others make its Secret.
    """

    buckets: Mapping[str, str]
    seen: Mapping[str, Mapping[str, str]] | None = None

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """From the chart's JSON.

        Raises:
            ValueError: It is none.
        """
        found = json.loads(text)
        return cls(found["buckets"], found.get("seen"))


def made_up() -> Keys:
    """Keys that nobody guesses."""
    access, secret = ("".join(secrets.choice(_ALPHABET) for _ in range(n)) for n in (20, 40))
    return Keys(access, secret)


def known(data: Mapping[str, str], key: str = "s3.json") -> dict[str, Keys]:
    """Keys by identity, of the Secret's text.

    Raises:
        ValueError: It is not what SeaweedFS reads. The message has no key in it.
    """
    try:
        found = json.loads(data.get(key) or "{}").get("identities") or []
        return {each["name"]: _keys_of(each) for each in found}
    except (AttributeError, TypeError, LookupError, ValueError):
        raise ValueError(
            f"its {key} is not as SeaweedFS reads identities: mend it, or remove it, and all keys "
            "are made anew"
        ) from None


def _keys_of(identity: Mapping[str, Any]) -> Keys:
    pair = identity["credentials"][0]
    return Keys(str(pair["accessKey"]), str(pair["secretKey"]))


def identities(
    wanted: Wanted,
    data: Mapping[str, str],
    rotated: Collection[str] = (),
    make: Callable[[], Keys] = made_up,
) -> dict[str, Keys]:
    """Keys of everybody who is wanted: those of the values, else those there are, else new ones.

    Args:
        wanted: By the chart.
        data: Of the Secret `sihl-store-identities`: `s3.json`, and `given.json` of the values.
        rotated: Whose keys are to be replaced.
        make: Makes new ones.

    Raises:
        ValueError: The Secret holds what cannot be read.
    """
    given, kept = known(data, "given.json"), known(data)
    names = [*sorted(wanted.buckets), *([DASHBOARD] if wanted.seen is not None else [])]
    stays = {
        name: keys
        for name, keys in kept.items()
        if name not in rotated and EVERYBODY not in rotated
    }
    return {name: given.get(name) or stays.get(name) or make() for name in names}


def s3_json(wanted: Wanted, found: Mapping[str, Keys]) -> str:
    """As SeaweedFS reads it: each namespace writes its bucket, the dashboard reads all of them."""
    return json.dumps(
        {
            "identities": [
                {
                    "name": name,
                    "credentials": [{"accessKey": keys.access, "secretKey": keys.secret}],
                    "actions": _actions(wanted, name),
                }
                for name, keys in found.items()
            ]
        },
        separators=(",", ":"),
    )


def _actions(wanted: Wanted, name: str) -> list[str]:
    if name != DASHBOARD:
        return [f"{action}:{wanted.buckets[name]}" for action in _WRITER]
    buckets = sorted({each["bucket"] for each in (wanted.seen or {}).values()})
    return [f"{action}:{bucket}" for bucket in buckets for action in _READER]


def store_secret(keys: Keys) -> dict[str, str]:
    """What a namespace's Secret `sihl-store` says beside the place, which the chart writes."""
    return {"accessKeyId": keys.access, "secretAccessKey": keys.secret}


def stores_json(wanted: Wanted, keys: Keys) -> str:
    """What the dashboard reads: each namespace's place, and its own keys."""
    seen = {name: {**place, **store_secret(keys)} for name, place in (wanted.seen or {}).items()}
    return json.dumps(seen, separators=(",", ":"), sort_keys=True)
