"""Text recognition: a file that maps each image to the text that it shows.

    000.jpg: "text"
    001.jpg: 4071     # text as well: it stays as it is written
    002.jpg: ""       # no text
    003.jpg: null     # not annotated; as is ~, or nothing at all

Texts are made of the `tokens` in the metadata, mostly single characters. Where tokens are longer
and a text can be split into them in several ways, each token is, from the left, the longest that
leaves a rest which can be split as well.
"""

from __future__ import annotations

import math
import unicodedata
from array import array
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sihl_api.model import Head
from sihl_api.tasks import Task
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.data.documents import Value
from sihl_trainer.tasks.annotations import Annotations, Format, annotation_entries, invalid
from sihl_trainer.tasks.contents import Contents, counted, within
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.listed import read_names
from sihl_trainer.tasks.text_recognition.columns import column_width, reading_level

if TYPE_CHECKING:
    from sihl_trainer.tasks.text_recognition.target import TextTarget

MOSTLY_PADDING = 0.5
"""Images that on average cover less of the input than this are worth a remark."""
_COARSEST_STRIDE = 32
_SHOWN = 40


class TextAnnotations(Annotations):
    """The texts of all images, one after the other in one array.

    Args:
        file: Where they stand.
        names: The images, in the order of their texts.
        ends: int64 [N], where each text ends in `tokens`; it starts where the one before ends.
        tokens: int64 [M], indices into `known`.
        known: The metadata's tokens.
    """

    def __init__(
        self,
        file: str,
        names: Sequence[str],
        ends: np.ndarray,
        tokens: np.ndarray,
        known: Sequence[str],
    ) -> None:
        self._file = file
        self._rows = {name: row for row, name in enumerate(names)}
        self._bounds = np.concatenate((np.zeros(1, np.int64), ends))
        self._tokens = tokens
        self._known = known
        # Of images whose size has been told, (width, height); 0: not yet.
        self._sizes = np.zeros((len(names), 2), dtype=np.int32)

    @property
    def names(self) -> Sequence[str]:
        """The images that have a text, if only an empty one."""
        return list(self._rows)

    def target(self, name: str) -> TextTarget | None:
        """The image's text."""
        import torch

        from sihl_trainer.tasks.text_recognition.target import TextTarget

        row = self._rows.get(name)
        return None if row is None else TextTarget(torch.from_numpy(self._text(row).copy()))

    def fault(self, name: str, width: int, height: int) -> str | None:
        """Nothing by itself; the size is kept for `unsuited`, which knows the input's."""
        if (row := self._rows.get(name)) is not None:
            self._sizes[row] = width, height
        return None

    def contents(self, info: HeadInfo, images: Collection[str] | None = None) -> Contents:
        """How often each token is written."""
        bounds = self._bounds
        spans = {name: (bounds[row], bounds[row + 1]) for name, row in self._rows.items()}
        return counted(within(self._tokens, spans, images), info.categories)

    def unsuited(self, head: Head, spec: TrainingJobSpec) -> str | None:
        """The text that lacks most columns where its image is shrunk most by the augmentation.

        An image whose size is not known yet counts as one that is as wide as the input.
        """
        wide = column_width(reading_level(head, spec))
        canvas = (spec.training.input_size.width, spec.training.input_size.height)
        shrink = 1 - (spec.augmentation.scale or 0.0)
        sizes = np.where(self._sizes > 0, self._sizes, (canvas[0], 1))
        placed = _letterboxed(sizes, canvas, shrink)[:, 0]
        needed = self._needed()
        lacking = needed - placed // wide
        if not lacking.size or lacking.max() <= 0:
            return None
        row = int(lacking.argmax())
        scale = needed[row] * wide / (sizes[row, 0] * shrink)
        enough = np.maximum(canvas, np.ceil(sizes[row] * scale)).astype(int)
        finer = [level for level in range(1, 8) if column_width(level) < wide]
        short = int((lacking > 0).sum())
        return (
            f'{self._file}, "{list(self._rows)[row]}": {self._shown(row)} needs {needed[row]} '
            "columns, one for each token and one between two that are alike, and has "
            f"{placed[row] // wide}"
            + (f" ({short} texts lack some)" if short > 1 else "")
            + f": the image is {placed[row]} pixels wide in the input where augmentation shrinks "
            f"it most (by {1 - shrink:g}), and a column {wide}; raise training.inputSize to "
            f"{{width: {enough[0]}, height: {enough[1]}}} or more, "
            + (f"begin the head's `levels` (and the neck's) at {finer[-1]}, " if finer else "")
            + "or map the image to null"
        )

    def remark(self, head: Head, spec: TrainingJobSpec) -> str | None:  # noqa: ARG002
        """That most of the input is padding, as it is of a line of text in a square."""
        width, height = spec.training.input_size.width, spec.training.input_size.height
        sizes = self._sizes[self._sizes[:, 0] > 0]
        if not len(sizes):
            return None
        covered = _letterboxed(sizes, (width, height)).prod(axis=1).mean() / (width * height)
        aspect = float(np.median(sizes[:, 0] / sizes[:, 1]))
        # No side below the coarsest stride; and the images as large as they are now.
        fits = [_rounded_up(side) for side in (height * aspect, width / aspect)]
        better = min(width, fits[0]), min(height, fits[1])
        if covered >= MOSTLY_PADDING or better == (width, height):
            return None
        return (
            f"the images, {aspect:.3g} times as wide as high, cover {covered:.0%} of the input of "
            f"{width} x {height} pixels on average, and the rest is padding: training.inputSize "
            f"{{width: {better[0]}, height: {better[1]}}} shows them as large for less work"
        )

    def _text(self, row: int) -> np.ndarray:
        return self._tokens[self._bounds[row] : self._bounds[row + 1]]

    def _needed(self) -> np.ndarray:
        """int64 [N], the columns that each text needs."""
        alike = np.zeros(len(self._tokens) + 1, dtype=np.int64)
        alike[1:-1] = self._tokens[1:] == self._tokens[:-1]
        starts = self._bounds[:-1]
        alike[starts[starts < self._bounds[1:]]] = 0  # what ends another text repeats nothing
        before = np.concatenate((np.zeros(1, np.int64), alike.cumsum()))
        needed: np.ndarray = np.diff(self._bounds) + np.diff(before[self._bounds])
        return needed

    def _shown(self, row: int) -> str:
        text = "".join(self._known[token] for token in self._text(row))
        return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _letterboxed(sizes: np.ndarray, canvas: tuple[int, int], shrink: float = 1.0) -> np.ndarray:
    """As `letterboxing` has it, the sizes int64 [N, 2] of many images in their canvas."""
    fit = (np.array(canvas) / sizes).min(axis=1, keepdims=True)
    placed: np.ndarray = np.clip(np.rint(sizes * (fit * shrink)), 1, canvas).astype(np.int64)
    return placed


def _rounded_up(side: float) -> int:
    return math.ceil(side / _COARSEST_STRIDE) * _COARSEST_STRIDE


class _Tokens:
    """Splits texts into the tokens that the metadata lists."""

    def __init__(self, known: Sequence[str]) -> None:
        self.indices: Mapping[str, int] = {token: index for index, token in enumerate(known)}
        self.lengths = sorted({len(token) for token in known}, reverse=True)

    def split(self, text: str) -> list[int] | int:
        """The text's tokens; or, where it cannot be split, the place where it goes on with none."""
        count = len(text)
        fitting = [0] * count + [1]  # by place, the length of the longest token; 0: none
        for at in range(count - 1, -1, -1):
            lengths = (length for length in self.lengths if at + length <= count)
            fits = (n for n in lengths if fitting[at + n] and text[at : at + n] in self.indices)
            fitting[at] = next(fits, 0)
        if not fitting[0]:
            return self._stuck(text)
        found, at = [], 0
        while at < count:
            found.append(self.indices[text[at : at + fitting[at]]])
            at += fitting[at]
        return found

    def _stuck(self, text: str) -> int:
        """The furthest place that tokens lead to."""
        reached = {0}
        for at in range(len(text)):
            if at in reached:
                ends = (at + length for length in self.lengths)
                reached |= {end for end in ends if text[at:end] in self.indices}
        return max(reached)


def read_info(fields: dict[str, Value], place: str) -> HeadInfo:
    """The tokens, in the order of their indices."""
    return HeadInfo(Task.TEXT_RECOGNITION, read_names(fields, "tokens", place))


def read(path: Path, info: HeadInfo) -> TextAnnotations:
    """The texts in a file.

    Raises:
        BadData: Malformed, or a character that no token in the metadata has; names file, line,
            image and character.
    """
    known = _Tokens(info.categories)
    names: list[str] = []
    ends, tokens = array("q"), array("q")
    for entry in annotation_entries(path):
        if entry.value is None:
            continue
        if not isinstance(entry.value, str):
            raise invalid(
                path,
                entry,
                'must be one text, "" where the image shows none, or null if not annotated',
            )
        found = known.split(entry.value)
        if isinstance(found, int):
            raise invalid(path, entry, _unknown(entry.value, found, info.categories))
        names.append(entry.key)
        tokens.extend(found)
        ends.append(len(tokens))
    return TextAnnotations(
        path.name,
        names,
        np.array(ends, dtype=np.int64),
        np.array(tokens, dtype=np.int64),
        info.categories,
    )


def _unknown(text: str, at: int, known: Sequence[str]) -> str:
    """The text for what no token has; the number tells characters apart that look the same."""
    for form in ("NFC", "NFD"):
        alike = _Tokens([unicodedata.normalize(form, token) for token in known])
        if isinstance(alike.split(unicodedata.normalize(form, text)), list):
            return (
                f"{text!r} is in another Unicode form than the `tokens` in the metadata: write "
                "both in one, such as NFC"
            )
    return (
        f"no token for {text[at]!r} (U+{ord(text[at]):04X}), character {at + 1} of {text!r}: "
        "correct it here, or add it to `tokens` in the metadata"
    )


FORMAT = Format(read_info, read)
