"""Errors of depth (Eigen et al., "Depth Map Prediction from a Single Image", NeurIPS 2014)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sihl_trainer.tasks.measures.base import Summed

_NEAREST = 1e-30  # whatever the unit
_DELTA = 1.25


class DepthErrors(Summed):
    """Means over all pixels of the dataset that have a true depth; zero means that there is none.

    So an image counts by its pixels with truth. (Some papers average over images instead.)

    Attributes:
        totals: float64 [5]: pixels, and their sums of relative error, of squared error, of
            those within a factor of 1.25, and of the squared deviation of the logarithm's error
            from its image's mean.
    """

    def __init__(self) -> None:
        super().__init__(np.zeros(5))

    def update(self, true: ArrayLike, predicted: ArrayLike) -> None:
        """Add an image: depths of one shape and unit.

        A prediction that is no positive number counts as nearest of all.
        """
        truth = np.asarray(true, np.float64)
        valid = np.isfinite(truth) & (truth > 0)
        if not valid.any():
            return
        truth, found = truth[valid], np.asarray(predicted, np.float64)[valid]
        found = np.maximum(np.nan_to_num(found, posinf=0.0), _NEAREST)
        error, logarithm = np.abs(found - truth), np.log(found) - np.log(truth)
        self.totals += (
            len(truth),
            (error / truth).sum(),
            (error**2).sum(),
            np.count_nonzero(np.maximum(found / truth, truth / found) < _DELTA),
            logarithm.var() * len(truth),
        )

    def compute(self) -> dict[str, float]:
        """`abs_rel`, `rmse` (the depth's unit), `delta1`, and `silog` (times 100, as KITTI's).

        SILog is invariant to the scale of each image: what is left is the logarithm's deviation.
        """
        pixels, relative, squared, near, deviation = self.totals.tolist()
        if not pixels:
            return {}
        return {
            "abs_rel": relative / pixels,
            "rmse": (squared / pixels) ** 0.5,
            "delta1": near / pixels,
            "silog": 100 * (deviation / pixels) ** 0.5,
        }
