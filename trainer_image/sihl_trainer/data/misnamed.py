"""Names that are not quite a file's: which one was meant, and what to write."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import unquote

from sihl_trainer.data.kinds import unread_by_name
from sihl_trainer.data.names import is_hidden


def remedy(name: str, images: Iterable[str], others: Iterable[str] = ()) -> str | None:
    """What to do about an annotation of an image that is not there by this name.

    Args:
        name: As the annotation has it.
        images: Those that are there.
        others: Other files beside them.

    Returns:
        As in `write '000.jpg': ...`; None where no file comes near.
    """
    if name in others:
        if is_hidden(name):
            return "it is there, but begins with a dot, and such files are nobody's: rename it"
        return f"it is there, but {unread_by_name(name)}"
    known = list(images)
    for alike, text in _LIKENESSES:
        found = [image for image in known if alike(image) == alike(name)]
        if len(found) == 1:
            return text.format(found[0])
        if found:
            return f"did you mean one of {', '.join(map(repr, found[:3]))}? Write it in full"
    base = _base(name)
    return remedy(base, known, others) if base != name else None


def likely_told(name: str, known: Sequence[str]) -> str:
    """What to append to a message about a file that is missing; may be empty."""
    found = likely(name, known)
    return f"; did you mean {found!r}, which is there?" if found else ""


def likely(name: str, known: Sequence[str]) -> str | None:
    """The one of some names that another one was meant to be; None: none or several come near."""
    for alike, _ in _LIKENESSES:
        if found := [each for each in known if alike(each) == alike(name)]:
            return found[0] if len(found) == 1 else None
    return None


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", _base(name))


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", unquote(_base(name)).strip()).casefold()


def _stem(name: str) -> str:
    plain = _plain(name)
    return plain.rpartition(".")[0] or plain


_LIKENESSES: tuple[tuple[Callable[[str], str], str], ...] = (
    (_base, "write {0!r}: an image is named by its file alone, without a folder"),
    (
        _composed,
        "{0!r} is there in another Unicode form: write both in one, such as NFC "
        "(`convmv -r -f utf8 -t utf8 --nfc` renames files)",
    ),
    (_plain, "did you mean {0!r}? Case, spaces and %-codes count: write it as the file is called"),
    (_stem, "did you mean {0!r}? Write the file's whole name, with its suffix"),
    (
        lambda name: _stem(name.replace("+", " ")),
        "did you mean {0!r}? A + stands for itself: write it as the file is called",
    ),
    (
        lambda name: _stem(name).lstrip("0"),
        "did you mean {0!r}? Zeros at the beginning count: write it as the file is called",
    ),
    (lambda name: _stem(_stem(name)), "did you mean {0!r}? Write the file's whole name"),
)
