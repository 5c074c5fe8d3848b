"""Names that metadata lists: categories, labels, identities, keypoints, tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches

from sihl_trainer.data.documents import Value, quoted
from sihl_trainer.errors import BadData

_LISTS = (
    "categories", "labels", "identities", "keypoints", "tokens",
    "classes", "names", "class_names", "characters", "charset", "alphabet", "vocabulary",
)  # fmt: skip
"""What metadata calls lists of names, for one task or another; the second line is other tools'."""
_EXAMPLES = {"tokens": "[a, b, c]", "keypoints": "[left_eye, right_eye]"}
_LONGEST_NAME = 200


def read_names(fields: dict[str, Value], field: str, place: str) -> tuple[str, ...]:
    """A metadata field that lists distinct names.

    Raises:
        BadData: Not a list, empty, or with a name that is missing or there twice.
    """
    value = fields.get(field)
    if not isinstance(value, list) or not value:
        other = next((each for each in _LISTS if each in fields and field not in fields), None)
        raise BadData(
            "DatasetMetadataInvalid",
            f"{place}: `{field}` must list at least one name: {_EXAMPLES.get(field, '[cat, dog]')}"
            + (f"; this task's names are not called `{other}`: rename it" if other else ""),
        )
    names: list[str] = []
    for item in value:
        if not isinstance(item, str) or not 0 < len(item) <= _LONGEST_NAME:
            advice = (
                'write one, in quotes if it is called so ("null")'
                if item is None
                else (
                    f"write one of at most {_LONGEST_NAME} characters"
                    if isinstance(item, str) and item
                    else "write one"
                )
            )
            raise BadData(
                "DatasetMetadataInvalid",
                f"{place}: `{field}` has {quoted(item)}, which is no name: {advice}, or remove it",
            )
        if item in names:
            raise BadData(
                "DatasetMetadataInvalid",
                f"{place}: `{field}` has {item!r} twice: keep one of the two",
            )
        names.append(item)
    return tuple(names)


def unknown_name(
    name: str, known: Sequence[str], kind: str = "category", field: str = "categories"
) -> str:
    """The text for a name that the metadata does not list: a category, or of another kind.

    Args:
        name: The one that is unknown.
        known: Those that are listed.
        kind: What it names, for the message.
        field: Which field of the metadata lists them.
    """
    listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    meant = _meant(name, known)
    name = f"{name[:_LONGEST_NAME]!r}{_codes(name) if meant else ''}"
    return (
        f"unknown {kind} {name}; the metadata lists {listed}: {meant}correct it here, or add it to "
        f"`{field}` there"
    )


def lookalikes(names: Sequence[str]) -> str:
    """What to say of names that differ, and look the same; may be empty."""
    seen: dict[str, str] = {}
    pairs = [
        (seen[look], name) for name in names if seen.setdefault(look := _look(name), name) != name
    ]
    if not pairs:
        return ""
    one, other = (f"{name!r}{_codes(name)}" for name in pairs[0])
    more = f" (and {len(pairs) - 1} more such pairs)" if len(pairs) > 1 else ""
    return f"{one} and {other}{more} look the same, and are two names: keep one, everywhere"


def _look(name: str) -> str:
    """A name without what nobody sees: its Unicode form, marks of no width, outer blanks."""
    shown = "".join(each for each in name if unicodedata.category(each) != "Cf")
    return " ".join(unicodedata.normalize("NFC", shown).split())


def _meant(name: str, known: Sequence[str]) -> str:
    """Which of the known names one was meant to be, as the beginning of a remedy; may be empty."""
    if found := [each for each in known if _plain(each) == _plain(name)]:
        return f"did you mean {found[0]!r}? Case, spaces and Unicode forms count; "
    if name.isdecimal() and int(name[:9]) < len(known) and not any(map(str.isdecimal, known)):
        return f"{known[int(name)]!r}, if its number counts from 0: names are read; "
    close = get_close_matches(name[:_LONGEST_NAME], known, n=1)
    return f"did you mean {close[0]!r}? Else " if close else ""


def _plain(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(each for each in folded if each.isalnum()) or folded


def _codes(name: str) -> str:
    """The numbers of characters that may look like others."""
    found = [f"U+{ord(each):04X}" for each in name if not each.isascii()]
    return f" ({', '.join(found[:5])})" if found else ""
