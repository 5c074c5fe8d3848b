"""What an access key can look like. One that cannot be is refused before anything repeats it."""

from __future__ import annotations

from collections.abc import Mapping

from sihl_trainer.errors import Refused

_KEYS = ("accessKeyId", "secretAccessKey", "sessionToken")


def refuse_impossible(values: Mapping[str, str], secret: str, reason: str) -> None:
    """Look for what an HTTP header cannot hold: libraries print a header that they refuse.

    Args:
        values: By the Secret's keys.
        secret: Its name.
        reason: Of the error.

    Raises:
        Refused: Names Secret and key, and not the value.
    """
    for key in _KEYS:
        if not all("!" <= character <= "~" for character in values[key]):
            raise Refused(
                reason,
                f"Secret {secret}, key {key}: has a space, a line break or another character that "
                "no access key has; was more than the key pasted into it?",
            )
