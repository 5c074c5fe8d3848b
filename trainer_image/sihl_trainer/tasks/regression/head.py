"""Regression: global average pooling, and a softmax over bins of the range.

A value is learnt as a soft histogram, a Gaussian around it, by cross-entropy, and told as the
histogram's mean (Imani & White, "Improving Regression Performance with Distributional Losses",
ICML 2018). Of the angle of 2,000 handwritten digits, turned by up to 60 degrees to either side, the
mean error after 300 steps of a ResNet-18 is 5.1 degrees, where smooth L1 leaves 7.8; of 100 of
them 13.0 and 14.0, which is within the noise of two seeds. So it serves both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.device import on_device
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.passes import Features, View
from sihl_trainer.tasks.pooled import PooledHead
from sihl_trainer.tasks.regression.annotations import RangeInfo
from sihl_trainer.tasks.regression.metric import ValueErrors
from sihl_trainer.tasks.regression.target import ValueTarget

BINS = 64
SIGMA = 2.0
"""Of the Gaussian, in bins: 0.75, as is usual, does a little worse on those digits."""
BEYOND = 3.0
"""Sigmas that the bins reach beyond the range, so that a value at its end has a whole Gaussian."""


class Regression(PooledHead[ValueTarget]):
    """One number for an image."""

    task = Task.REGRESSION
    loss_name = "cross_entropy"
    target_class = ValueTarget
    edges: Tensor

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.low, self.high = (float(end) for end in config.settings["range"])
        self.bins = int(config.settings["bins"])
        self.linear = nn.Linear(self.width, self.bins)
        # Of the range, which is the unit: so that its own size and place cost no precision.
        sigma = float(config.settings["sigma"])
        width = 1 / (self.bins - 2 * BEYOND * sigma)
        self.sigma = sigma * width
        edges = (torch.arange(self.bins + 1) - BEYOND * sigma) * width
        self.register_buffer("edges", edges, persistent=False)  # [bins + 1]

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:
        """The training set's range, how many bins it is cut into, and the Gaussian's width."""
        assert isinstance(info, RangeInfo)
        return {"range": list(info.range), "bins": BINS, "sigma": SIGMA}

    def outputs(self, features: Features) -> Tensor:
        """Logits [B, bins]."""
        logits: Tensor = self.linear(self.pooled(features))
        return logits.float()

    def total(self, outputs: Tensor, targets: Sequence[ValueTarget]) -> Tensor:
        """Cross-entropy with the values' histograms, in units of that of a flat prediction."""
        span = self.high - self.low
        places = on_device([(target.value - self.low) / span for target in targets], outputs)
        entropy = -(self._histograms(places) * outputs.log_softmax(dim=1)).sum()
        return entropy / math.log(self.bins)

    def predict(self, view: View) -> list[float]:
        """A value within the range for each image."""
        centres = (self.edges[1:] + self.edges[:-1]) / 2
        places = (self.outputs(view.features).softmax(dim=1) * centres).sum(dim=1)
        return [min(max(self._value(place), self.low), self.high) for place in places.tolist()]

    def metric(self) -> ValueErrors:
        """Errors and correlation."""
        return ValueErrors()

    def _histograms(self, places: Tensor) -> Tensor:
        """What the Gaussian around each of [N] places in the range has in each bin, [N, bins]."""
        below = torch.special.ndtr((self.edges - places[:, None]) / self.sigma)
        mass = below.diff(dim=1)
        histograms: Tensor = mass / mass.sum(dim=1, keepdim=True)
        return histograms

    def _value(self, place: float) -> float:
        return self.low + place * (self.high - self.low)


HEAD = Regression
