"""Necks: what mixes the backbone's levels, all with the same number of channels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class FeaturePyramid(nn.Module):
    """FPN (Lin et al., "Feature Pyramid Networks", CVPR 2017), with coarser levels above it.

    Levels that the backbone does not have are made by stride-2 convolutions, as in RetinaNet
    (Lin et al., "Focal Loss", ICCV 2017).

    Args:
        inputs: Channels of the backbone's levels.
        first: First level.
        last: Last level, up to 7.
        channels: Of every level that comes out.
    """

    def __init__(self, inputs: dict[int, int], first: int, last: int, channels: int) -> None:
        super().__init__()
        self.first, self.last = first, last
        self.top = min(last, max(inputs))
        self.channels = dict.fromkeys(range(first, last + 1), channels)
        self.lateral = nn.ModuleDict(
            {str(i): nn.Conv2d(inputs[i], channels, 1) for i in range(first, self.top + 1)}
        )
        self.output = nn.ModuleDict(
            {
                str(i): nn.Conv2d(channels, channels, 3, padding=1)
                for i in range(first, self.top + 1)
            }
        )
        self.extra = nn.ModuleDict(
            {
                str(i): nn.Conv2d(channels, channels, 3, stride=2, padding=1)
                for i in range(self.top + 1, last + 1)
            }
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, features: dict[int, Tensor]) -> dict[int, Tensor]:
        """Levels `first` to `last`, each [B, channels, H_i, W_i], from the backbone's."""
        mixed = self.lateral[str(self.top)](features[self.top])
        levels = {self.top: self.output[str(self.top)](mixed)}
        for i in range(self.top - 1, self.first - 1, -1):
            below = self.lateral[str(i)](features[i])
            mixed = below + F.interpolate(mixed, size=below.shape[-2:], mode="nearest")
            levels[i] = self.output[str(i)](mixed)
        for i in range(self.top + 1, self.last + 1):
            before = levels[i - 1] if i == self.top + 1 else F.relu(levels[i - 1])
            levels[i] = self.extra[str(i)](before)
        return levels
