"""Keypoint detection: anchor-free and dense on a range of levels, with shared weights.

Each point says where an instance's keypoints lie, as offsets in strides, and which of them are
visible (Maji et al., "YOLO-Pose", CVPR 2022 workshops). Which points learn an instance is decided
by `assignment`, with a likeness of keypoints in the place of boxes' IoU; offsets are learnt by the
loss of that paper, 1 - OKS, and by L1, since OKS is flat far from the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.dense.assignment import Assignment, Objects, assign
from sihl_trainer.tasks.dense.head import DenseHead, flat, padded, predictor, quality_focal_loss
from sihl_trainer.tasks.dense.suppression import suppressed
from sihl_trainer.tasks.dense.tower import tower
from sihl_trainer.tasks.head import Loss
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.keypoint_detection.annotations import KeypointInfo
from sihl_trainer.tasks.keypoint_detection.geometry import SIGMA, areas, boxes, distances
from sihl_trainer.tasks.keypoint_detection.metric import KeypointPrecision, KeypointsPrediction
from sihl_trainer.tasks.keypoint_detection.target import KeypointsTarget
from sihl_trainer.tasks.passes import Features, Pass, View, Views
from sihl_trainer.tasks.target import Target

SIMILARITY_WEIGHT = 1.0
OFFSET_WEIGHT = 4.0
VISIBILITY_WEIGHT = 0.5
NMS_IOU = 0.65
VISIBLE = 0.5
"""A keypoint that is visible with less than this probability is taken for invisible."""


@dataclass(frozen=True, eq=False)
class Instances(Objects):
    """Instances of a batch; those without visible keypoint lie nowhere.

    Attributes:
        points: float [B, M, K, 2], in pixels.
        visible: bool [B, M, K].
        sigmas: Of K keypoints.
    """

    points: Tensor
    visible: Tensor
    sigmas: tuple[float, ...]

    def fit(self, predicted: Tensor) -> Tensor:
        """float [B, M, P]: how near predicted keypoints [B, P, K, 2] are.

        Like OKS, to which it is equal near the truth, but for a long tail, 1 / (1 + d) in the place
        of exp(-d): before anything is learnt, every OKS is 0, and no point would be better than
        another. Keypoint by keypoint, so that K does not multiply the memory.
        """
        area, total = areas(self.boxes), None
        for number, sigma in enumerate(self.sigmas):
            true, found = self.points[:, :, None, number], predicted[:, None, :, number]
            scale = 2 * (2 * sigma) ** 2 * area[..., None]
            near = 1 / (1 + (found - true).square().sum(-1) / scale)
            near = near * self.visible[:, :, None, number]
            total = near if total is None else total + near
        assert total is not None
        return total / self.visible.sum(-1).clamp(min=1)[..., None]


@dataclass(frozen=True, eq=False)
class _Said:
    """What P points say of a batch.

    Attributes:
        logits: float [B, P, 1].
        keypoints: float [B, P, K, 2], in pixels.
        visibility: float [B, P, K], logits.
        points: float [P, 2], in pixels.
    """

    logits: Tensor
    keypoints: Tensor
    visibility: Tensor
    points: Tensor


class KeypointDetection(DenseHead):
    """Instances with named keypoints."""

    task = Task.KEYPOINT_DETECTION

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels, categories=1)
        self.sigmas = tuple(float(sigma) for sigma in config.settings["sigmas"])
        self.keypoint_tower = tower(self.width)
        self.offset = predictor(self.width, [0.0] * (2 * len(self.sigmas)))
        self.visible = predictor(self.width, [0.0] * len(self.sigmas))

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:
        """The keypoints' names, their pairs, and each one's sigma, on which the metric depends."""
        assert isinstance(info, KeypointInfo)
        return {
            "keypoints": list(info.categories),
            "symmetry": [list(pair) for pair in info.symmetry or ()],
            "sigmas": [SIGMA] * len(info.categories),
        }

    def _dense(self, features: Features) -> _Said:
        parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for level in self.dense_levels(features):
            said = self.keypoint_tower(level.feature)
            offsets = flat(self.offset(said) * self.scale[level.number]) * level.stride
            keypoints = level.points[:, None] + offsets.view(*offsets.shape[:2], -1, 2)
            parts.append((self.logits(level), keypoints, flat(self.visible(said)), level.points))
        logits, found, visibility, points = zip(*parts, strict=True)
        return _Said(
            torch.cat(logits, 1), torch.cat(found, 1), torch.cat(visibility, 1), torch.cat(points)
        )

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Quality focal loss of the scores; of keypoints OKS and L1; cross-entropy of visibility.

        By the weight of points, over annotated images.
        """
        said = self._dense(views[Pass.PLAIN].features)
        rows = [i for i, target in enumerate(targets) if isinstance(target, KeypointsTarget)]
        if not rows:
            none = said.logits.new_zeros(())
            return {
                "classification": Loss(said.logits.sum() * 0, none),
                "keypoints": Loss(said.keypoints.sum() * 0, none),
                "visibility": Loss(said.visibility.sum() * 0, none),
            }
        if len(rows) < len(targets):
            said = _Said(
                said.logits[rows], said.keypoints[rows], said.visibility[rows], said.points
            )
        known = [target for target in targets if isinstance(target, KeypointsTarget)]
        truth = self._instances(known, said.logits.device)
        scores, keypoints = said.logits.detach().sigmoid(), said.keypoints.detach()
        found = assign(scores, keypoints, said.points, truth)
        amount = found.weight.sum()
        placed, seen = _errors(said, found, truth)
        return {
            "classification": Loss(quality_focal_loss(said.logits, found.scores), amount),
            "keypoints": Loss((placed * found.weight).sum(), amount),
            "visibility": Loss(VISIBILITY_WEIGHT * (seen * found.weight).sum(), amount),
        }

    def predict(self, view: View) -> list[KeypointsPrediction]:
        """Instances after non-maximum suppression of their boxes, within the input."""
        said = self._dense(view.features)
        limit = said.keypoints.new_tensor(self.input_size(view.features))
        keypoints = said.keypoints.clamp(min=0).minimum(limit)
        shown = zip(said.logits.sigmoid(), keypoints, said.visibility.sigmoid(), strict=True)
        return [_suppressed(*each) for each in shown]

    def metric(self) -> KeypointPrecision:
        """Average precision over OKS, and PCK."""
        return KeypointPrecision(self.sigmas)

    def _instances(self, targets: Sequence[KeypointsTarget], device: torch.device) -> Instances:
        around = [boxes(target.points, target.visible) for target in targets]
        one = [torch.zeros(len(each), dtype=torch.int64) for each in around]
        return Instances(
            padded(around, device),
            padded(one, device),
            [len(each) for each in around],
            padded([target.points for target in targets], device),
            padded([target.visible for target in targets], device),
            self.sigmas,
        )


def _errors(said: _Said, found: Assignment, truth: Instances) -> tuple[Tensor, Tensor]:
    """[B, P] each, means over keypoints: how wrong a point is about places, and about visibility.

    Background's are finite, and no more than that.
    """
    visible = found.own(truth.visible)  # [B, P, K]
    true = found.own(truth.points)
    area = areas(found.boxes)
    share = visible / visible.sum(-1, keepdim=True).clamp(min=1)
    unlike = 1 - (-distances(said.keypoints, true, area, truth.sigmas)).exp()
    offset = (said.keypoints - true).abs().mean(-1) / area.sqrt()[..., None]
    placed = ((SIMILARITY_WEIGHT * unlike + OFFSET_WEIGHT * offset) * share).sum(-1)
    seen = F.binary_cross_entropy_with_logits(
        said.visibility, visible.to(said.visibility.dtype), reduction="none"
    )
    return placed, seen.mean(-1)


def _suppressed(scores: Tensor, keypoints: Tensor, visibility: Tensor) -> KeypointsPrediction:
    """The best instances of [P, 1], [P, K, 2] and probabilities [P, K], on the CPU."""
    likely = visibility.amax(1, keepdim=True).clamp(max=VISIBLE)  # the likest, where none is likely
    chosen = suppressed(scores, boxes(keypoints, visibility >= likely), NMS_IOU)
    return KeypointsPrediction(
        keypoints[chosen.point].cpu(), visibility[chosen.point].cpu(), chosen.score.cpu()
    )


HEAD = KeypointDetection
