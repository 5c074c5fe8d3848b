"""What an image's annotation becomes for a head: the contract; each task has its own class.

A target knows how to follow its image through letterboxing and mirroring, so that neither the
dataset nor the training loop needs to know any task. It travels between processes, so it is small:
maps as 8 or 16 bits, masks as one map of ids or as crops.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from sihl_trainer.data.letterbox import Letterboxing


@dataclass(frozen=True)
class Target(ABC):
    """An annotation in the shape that a head learns from: a frozen dataclass of tensors."""

    def sized(self, size: tuple[int, int]) -> Self:  # noqa: ARG002
        """The target of an image that is known to have this (width, height) in pixels.

        For targets of maps, which may be smaller than their image; by default the same.
        """
        return self

    @abstractmethod
    def placed(self, fit: Letterboxing) -> Self:
        """The target of the letterboxed image."""

    @abstractmethod
    def mirrored(self, width: float) -> Self:
        """The target of the image mirrored left to right; `width` in pixels."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The target with its tensors on a device."""
        moved = {
            name: value.to(device, non_blocking=non_blocking)
            for name, value in self._fields()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved) if moved else self

    def __reduce__(self) -> tuple[Callable[..., Target], tuple[Any, ...]]:
        # Between processes torch gives each tensor a file descriptor of shared memory: two an
        # image would exhaust them. As arrays they travel inside the message.
        values = [v.numpy() if isinstance(v, Tensor) else v for _, v in self._fields()]
        tensors = [isinstance(v, Tensor) for _, v in self._fields()]
        return _arrived, (type(self), values, tensors)

    def _fields(self) -> list[tuple[str, Any]]:
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


def _arrived(kind: type[Target], values: list[Any], tensors: list[bool]) -> Target:
    pairs = zip(values, tensors, strict=True)
    return kind(*(torch.from_numpy(value) if tensor else value for value, tensor in pairs))


@dataclass(frozen=True)
class Anywhere(Target):
    """A target that has no place in its image, a category say: letterbox and mirror leave it."""

    def placed(self, fit: Letterboxing) -> Self:  # noqa: ARG002
        """The same."""
        return self

    def mirrored(self, width: float) -> Self:  # noqa: ARG002
        """The same."""
        return self


@dataclass(frozen=True)
class ImageTarget(Anywhere):
    """What a self-supervised head learns from: the image itself."""
