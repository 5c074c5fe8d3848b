"""Which news of an object is the newest, whichever way it came."""

from __future__ import annotations

from collections.abc import Collection

from sihl_operator.views import Key, Raw


class Versions:
    """The newest resourceVersion that was told of each object of one kind."""

    def __init__(self) -> None:
        self._told: dict[Key, int] = {}
        self._listed = -1
        """Of the newest list: what it does not have and is older has gone by then."""

    def newer(self, raw: Raw, deleted: bool) -> bool:
        """Whether this is news of an object; then it is the newest."""
        metadata = raw["metadata"]
        key = (metadata["namespace"], metadata["name"])
        version = int(metadata["resourceVersion"])
        known = self._told.get(key, self._listed)
        if version < known or (version == known and not deleted):
            return False
        self._told[key] = version
        return True

    def begin_list(self, version: int) -> None:
        """A list of that version is about to be told, object by object.

        One that is older than the last says that the API server's store was put back to an earlier
        state: what is known is void.
        """
        if version < self._listed:
            self._told = dict.fromkeys(self._told, -1)
        self._listed = -1

    def end_list(self, version: int, listed: Collection[Key]) -> list[Key]:
        """The list was told to its end; who is gone, whatever a watch left out, and forgotten."""
        gone = [key for key, told in self._told.items() if key not in listed and told <= version]
        for key in gone:
            del self._told[key]  # else the names of all that ever was would be kept
        self._listed = version
        return gone
