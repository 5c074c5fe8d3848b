"""Backbones: torchvision's residual networks, as levels of features."""

from __future__ import annotations

import os
import urllib.error
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from sihl_trainer.errors import TrainerError

WEIGHTS_DIRECTORY = "SIHL_WEIGHTS_DIR"
"""Variable that names a folder of torchvision's weight files, for clusters without internet."""


class Backbone(nn.Module):
    """A ResNet (He et al., "Deep Residual Learning", CVPR 2016) up to the last level in use.

    Args:
        name: torchvision's, of `sihl_api.model.RESNETS`.
        top: Last level to compute, 1 to 5; later stages are left out, with their weights.
    """

    def __init__(self, name: str, top: int = 5) -> None:
        super().__init__()
        net = torchvision.models.get_model(name, weights=None)
        stages = [nn.Sequential(net.conv1, net.bn1, net.relu)]
        stages += [nn.Sequential(net.maxpool, net.layer1), net.layer2, net.layer3, net.layer4]
        self.name = name
        self.stages = nn.ModuleList(stages[:top])
        blocks = (net.layer1, net.layer2, net.layer3, net.layer4)
        widths = [64, *(_width(block[-1]) for block in blocks)]
        self.channels = dict(enumerate(widths[:top], start=1))

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Features by level; level i is [B, channels[i], H / 2^i, W / 2^i], rounded up.

        Args:
            images: float [B, 3, H, W], normalized.
        """
        features = {}
        for level, stage in enumerate(self.stages, start=1):
            images = stage(images)
            features[level] = images
        return features

    def load_imagenet(self) -> None:
        """Take torchvision's default ImageNet weights.

        Raises:
            TrainerError: They can neither be found in SIHL_WEIGHTS_DIR nor be downloaded.
        """
        source = torchvision.models.get_model(self.name, weights=None)
        source.load_state_dict(_imagenet_state(self.name))
        trained = Backbone.__new__(Backbone)
        nn.Module.__init__(trained)
        stages = [nn.Sequential(source.conv1, source.bn1, source.relu)]
        stages += [nn.Sequential(source.maxpool, source.layer1)]
        stages += [source.layer2, source.layer3, source.layer4]
        trained.stages = nn.ModuleList(stages[: len(self.stages)])
        self.load_state_dict(trained.state_dict())


def _width(block: nn.Module) -> int:
    """Channels that a residual block gives."""
    last = getattr(block, "conv3", None) or block.conv2
    assert isinstance(last, nn.Conv2d)
    return last.out_channels


def _imagenet_state(name: str) -> dict[str, Tensor]:
    weights = torchvision.models.get_model_weights(name).DEFAULT
    file = str(weights.url).rsplit("/", 1)[1]
    folder = os.environ.get(WEIGHTS_DIRECTORY)
    if folder and (Path(folder) / file).exists():
        state: dict[str, Tensor] = torch.load(
            Path(folder) / file, map_location="cpu", weights_only=True
        )
        return state
    try:
        loaded: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (urllib.error.URLError, OSError) as error:
        raise TrainerError(
            "WeightsUnreachable",
            f"ImageNet weights for {name} cannot be downloaded ({error}): let the pod reach "
            f"{weights.url}, put {file} into a folder of the image and name it in "
            f"{WEIGHTS_DIRECTORY}, or use model.initialization.from: Random",
        ) from error
    return loaded
