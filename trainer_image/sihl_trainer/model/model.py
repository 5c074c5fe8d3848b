"""The whole network: normalization, backbone, neck, heads."""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sihl_api.model import BACKBONE_TOP_LEVEL
from sihl_api.record import HeadConfig, ModelConfig
from sihl_api.tasks import Task
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.errors import BadConfig
from sihl_trainer.model.backbone import Backbone
from sihl_trainer.model.neck import FeaturePyramid
from sihl_trainer.model.statistics import OwnStatistics, completed, norms_of, unmoved
from sihl_trainer.tasks.head import Head
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.passes import Keys, Pass, View, shown
from sihl_trainer.tasks.rooms import head_of

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's, of values in [0, 1]; random weights are happy with them too."""


class VisionModel(nn.Module):
    """Several heads on one backbone and neck.

    Args:
        config: Enough to build it without a dataset.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        last = max(head.levels[1] for head in config.heads)
        if config.neck:
            first, last = config.neck["levels"]
        self.backbone = Backbone(config.backbone, min(last, BACKBONE_TOP_LEVEL))
        self.neck = None
        channels = self.backbone.channels
        if config.neck:
            self.neck = FeaturePyramid(channels, first, last, config.neck["channels"])
            channels = self.neck.channels
        self.heads = nn.ModuleDict(
            {head.name: head_of(Task(head.task))(head, channels) for head in config.heads}
        )
        norms = list(norms_of(self).values())
        learnt = frozenset().union(*(self.head(head.name).passes for head in config.heads))
        self.statistics = nn.ModuleDict(
            {each.name: OwnStatistics(norms) for each in sorted(learnt) if each.unlike_plain}
        )
        scale = 255.0
        self.register_buffer("mean", _column(MEAN) * scale, persistent=False)
        self.register_buffer("std", _column(STD) * scale, persistent=False)

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Features by level, of images uint8 or float [B, 3, H, W] in 0 to 255."""
        images = images.to(self.mean.dtype, memory_format=torch.channels_last)
        features: dict[int, Tensor] = self.backbone((images - self.mean) / self.std)
        return self.neck(features) if self.neck is not None else features

    def views(self, images: Tensor, wanted: Set[Pass], keys: Keys) -> dict[Pass, View]:
        """Each pass that is wanted, one run of backbone and neck each.

        The plain one runs in any case while training, if only without gradient: it alone moves the
        running statistics. Images that are unlike plain ones have statistics of their own.

        Args:
            images: uint8 [B, 3, H, W].
            wanted: By at least one head.
            keys: Of the batch.
        """
        views: dict[Pass, View] = {}
        for each in sorted(wanted | ({Pass.PLAIN} if self.training else set())):
            pixels, changed = shown(each, images, keys)
            if each is Pass.PLAIN:
                with torch.set_grad_enabled(torch.is_grad_enabled() and each in wanted):
                    views[each] = View(pixels, self(pixels), changed)
            else:
                with self._normalized(each):
                    views[each] = View(pixels, self(pixels), changed)
        return views

    def _normalized(self, which: Pass) -> AbstractContextManager[None]:
        """By which statistics a pass's images are normalized that is not the plain one."""
        norms = list(norms_of(self).values())
        own = dict(self.statistics.items()).get(which.name)
        return own.used(norms) if isinstance(own, OwnStatistics) else unmoved(norms)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As torch has it; models of old lack statistics of passes, which then are the plain ones'.

        Returns:
            What was missing, and what was not expected.
        """
        passes = {f"statistics.{name}": each for name, each in self.statistics.items()}
        whole = completed(state_dict, passes, list(norms_of(self)))
        return super().load_state_dict(whole, strict, assign)

    def head(self, name: str) -> Head:
        """A head by its name."""
        head = self.heads[name]
        assert isinstance(head, Head)
        return head


def _column(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def model_config(spec: TrainingJobSpec, info: Mapping[str, HeadInfo]) -> ModelConfig:
    """The config of a job's model.

    Args:
        spec: The job's.
        info: By head name, from its dataset.

    Raises:
        BadConfig: A head's levels are none that backbone and neck give.
    """
    neck = spec.model.neck
    first, last = neck.levels if neck else (1, BACKBONE_TOP_LEVEL)
    channels = dict.fromkeys(range(first, last + 1), 0)
    heads = []
    for head in spec.model.heads:
        kind = head_of(head.task)
        levels = head.levels or kind.default_levels(channels, neck is not None)
        if not set(levels) <= set(channels):
            raise BadConfig(
                "LevelsMissing",
                f"head {head.name!r} asks for levels {levels}; there are {first} to {last}",
            )
        heads.append(
            HeadConfig(
                name=head.name,
                task=head.task.value,
                levels=list(levels),
                settings=kind.settings(replace(info[head.name], most=head.max_detections)),
            )
        )
    return ModelConfig(
        backbone=spec.model.backbone.name,
        neck=neck.model_dump(by_alias=True) if neck else None,
        heads=heads,
        input_width=spec.training.input_size.width,
        input_height=spec.training.input_size.height,
        scale_at_inference=spec.training.scale_at_inference,
        initialization=spec.model.initialization,
    )


def build_model(spec: TrainingJobSpec, info: Mapping[str, HeadInfo]) -> VisionModel:
    """A job's model with random weights, drawn from the job's seed."""
    torch.manual_seed(spec.training.seed)
    return VisionModel(model_config(spec, info))
