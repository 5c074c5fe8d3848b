"""The records of each namespace: one place for all, or one for each that `stores.json` names."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from sihl_api.runtime import Env
from sihl_dashboard.records import Place, Records, Remembered, S3Place, S3Settings, SettingsError
from sihl_dashboard.server.refusals import NotThereError
from sihl_s3.identity import IDENTITY_VARIABLES

_MEMORY, _SEGMENTS = 96 << 20, 32 << 20
"""Bytes of what was parsed, and of what may be read again, of all namespaces together."""
_LEAST = 4 << 20


class Stores(Protocol):
    """Where records lie. Its methods may take long: call them in a thread."""

    def of(self, namespace: str) -> Records:
        """The namespace's. Raises NotThereError, SettingsError, and what reading does."""

    def namespaces(self) -> list[str]:
        """Those that may have records, as far as that is known."""

    def close(self) -> None:
        """Let go of all."""


class OneStore:
    """One place that holds all namespaces.

    Args:
        place: Where.
        scratch: A folder for the index; None keeps it in memory.
    """

    def __init__(self, place: Place, scratch: Path | None = None) -> None:
        self._records = _opened(place, scratch, 1)

    def of(self, namespace: str) -> Records:  # noqa: ARG002 (all of them are here)
        """The records."""
        return self._records

    def namespaces(self) -> list[str]:
        """Those that have records. Raises StoreAwayError, StoreDeniedError."""
        return self._records.namespaces()

    def close(self) -> None:
        """Let go of it."""
        self._records.close()


class ManyStores:
    """A place for each namespace, found when it is first asked for.

    Args:
        find: The namespace's place. Raises NotThereError, SettingsError.
        namespaces: Those that are known to have one.
        scratch: A folder for the indexes; None keeps them in memory.
        share: Among how many what may be kept is divided.
    """

    def __init__(
        self,
        find: Callable[[str], Place],
        namespaces: Callable[[], list[str]],
        scratch: Path | None = None,
        share: int = 4,
    ) -> None:
        self._share = share
        self._find = find
        self._namespaces = namespaces
        self._scratch = scratch
        self._records: dict[str, Records] = {}
        self._lock = threading.Lock()

    def of(self, namespace: str) -> Records:
        """The namespace's records. Raises NotThereError, SettingsError."""
        with self._lock:
            if namespace not in self._records:
                place = self._find(namespace)
                self._records[namespace] = _opened(place, self._scratch, self._share)
            return self._records[namespace]

    def namespaces(self) -> list[str]:
        """Those that are known to have one."""
        return self._namespaces()

    def close(self) -> None:
        """Let go of all."""
        for records in self._records.values():
            records.close()


def stores_of_file(file: Path, scratch: Path | None) -> ManyStores:
    """The stores that the chart writes for the cluster's dashboard.

    `{namespace: {endpoint, region, bucket, prefix, accessKeyId, secretAccessKey}}`

    Raises:
        SettingsError: the file cannot be read, or names no stores.
    """
    try:
        found = json.loads(file.read_text())
        assert isinstance(found, dict)
        assert all(isinstance(each, dict) for each in found.values())
    except (OSError, ValueError, AssertionError) as error:
        raise SettingsError(
            f"{file} does not name stores as JSON ({type(error).__name__}): it maps each namespace "
            "to endpoint, bucket, accessKeyId and secretAccessKey"
        ) from None
    places: dict[str, Place] = {name: place_of(keys) for name, keys in found.items()}

    def find(namespace: str) -> Place:
        try:
            return places[namespace]
        except KeyError:
            raise NotThereError(
                f"the dashboard knows no store of namespace {namespace}",
                "name it in the chart's values, under store.namespaces",
            ) from None

    return ManyStores(find, lambda: sorted(places), scratch, len(places))


def _opened(place: Place, scratch: Path | None, share: int) -> Records:
    segments = max(_SEGMENTS // max(share, 1), _LEAST)
    memory = max(_MEMORY // max(share, 1), _LEAST)
    return Records(Remembered(place, segments), scratch, memory=memory)


def place_of(keys: Mapping[str, object]) -> Place:
    """A store by the keys of its Secret. Raises SettingsError, which names what is missing.

    Where these say `serviceAccount` and no more, what a cloud gave this pod is its identity.
    """
    named = {Env.store(str(key)): str(value) for key, value in keys.items() if value is not None}
    given = {name: os.environ[name] for name in IDENTITY_VARIABLES if name in os.environ}
    return S3Place(S3Settings.from_environment(given | named), attempts=2, timeout=10)
