"""What a dataset tells a head about its targets before the first one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

from sihl_api.tasks import Task


@dataclass(frozen=True)
class HeadInfo:
    """Of an annotation set's metadata, and of a head that it feeds. A task may have its own.

    Args:
        task: What is annotated.
        categories: Names in the order of their indices: categories, labels, identities, keypoints
            or tokens, whatever the task calls them.
        fullest: Objects of the image that has most, as far as that is known.
        most: Objects of an image that the job's spec lets be found; None: it does not say.
    """

    task: Task
    categories: tuple[str, ...] = ()
    fullest: int = field(default=0, kw_only=True, compare=False)
    most: int | None = field(default=None, kw_only=True, compare=False)

    def as_trained(self, trained: HeadInfo) -> Self:
        """A validation set's info, with the indices that the training set gives to names.

        Names that the training set does not have come last.
        """
        return replace(self, categories=trained.categories + self.unknown_to(trained))

    def unknown_to(self, trained: HeadInfo) -> tuple[str, ...]:
        """The names that the training set does not have."""
        known = set(trained.categories)
        return tuple(name for name in self.categories if name not in known)
