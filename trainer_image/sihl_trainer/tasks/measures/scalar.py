"""Errors and correlation of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sihl_trainer.tasks.measures.base import Kept, ratios


class Regression(Kept):
    """How far predicted numbers are from true ones, and whether their order is right.

    Pairs are kept, as float64: ranks are of all of them, and seconds since 1970 differ by less than
    float32 tells apart.
    """

    def __init__(self) -> None:
        super().__init__([("true", "f8"), ("predicted", "f8")])

    def update(self, true: ArrayLike, predicted: ArrayLike) -> None:
        """Add numbers [B]."""
        truth, found = (np.nan_to_num(np.asarray(v, np.float64)) for v in (true, predicted))
        self.rows.add(len(truth), true=truth, predicted=found)

    def compute(self) -> dict[str, float]:
        """`mae`, `rmse`, `r2`, `spearman`, and `mae_of_mean`.

        The last is the error of whoever always says the true mean: what there is to beat. Where
        the truth is constant, there is no R2; where either is, no Spearman's rank correlation.
        """
        table = self.rows.table()
        if not len(table):
            return {}
        true, found = table["true"], table["predicted"]
        squared = float(np.square(found - true).mean())
        # Not by the variance alone: a constant's mean is rounded, and would leave it one.
        variance = float(true.var()) if true.min() < true.max() else 0.0
        return {
            "mae": float(np.abs(found - true).mean()),
            "rmse": squared**0.5,
            "mae_of_mean": float(np.abs(true - true.mean()).mean()) if variance else 0.0,
            **({"r2": 1 - squared / variance} if variance else {}),
            **ratios(spearman=_correlation(_ranks(true), _ranks(found))),
        }


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Places of [N] in ascending order; equal ones share the mean of theirs."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(count) - (count - 1) / 2)[group]
    return ranks


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """Pearson's, as the part and the whole of a ratio."""
    a, b = one - one.mean(), other - other.mean()
    return float(a @ b), float(a @ a) ** 0.5 * float(b @ b) ** 0.5
