"""Keypoint detection: anchor-free and dense on a range of levels, with shared weights.

Each point says where an instance's keypoints lie, as offsets in strides, and which of them are
visible (Maji et al., "YOLO-Pose", CVPR 2022 workshops). Which points learn an instance is decided
by `assignment`, with a likeness of keypoints in the place of boxes' IoU; offsets are learnt by the
loss of that paper, 1 - OKS, and by L1, since OKS is flat far from the truth. A second look at what
lies around each keypoint corrects it (`refinement`), by the same losses.
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
from sihl_trainer.tasks.dense.limit import limit
from sihl_trainer.tasks.dense.points import at_points
from sihl_trainer.tasks.dense.sampling import choose, places_of, sample
from sihl_trainer.tasks.dense.suppression import Chosen, suppressed
from sihl_trainer.tasks.dense.tower import tower
from sihl_trainer.tasks.device import of_images
from sihl_trainer.tasks.head import Loss
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.keypoint_detection.annotations import KeypointInfo
from sihl_trainer.tasks.keypoint_detection.geometry import SIGMA, areas, boxes, distances
from sihl_trainer.tasks.keypoint_detection.metric import KeypointPrecision, KeypointsPrediction
from sihl_trainer.tasks.keypoint_detection.refinement import Refinement
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
        regions: [B, C, H, W] of each level: what its points see.
    """

    logits: Tensor
    keypoints: Tensor
    visibility: Tensor
    points: Tensor
    regions: list[Tensor]

    def of(self, rows: Sequence[int]) -> _Said:
        """What is said of some of the images."""
        return _Said(
            of_images(self.logits, rows),
            of_images(self.keypoints, rows),
            of_images(self.visibility, rows),
            self.points,
            [of_images(region, rows) for region in self.regions],
        )


class KeypointDetection(DenseHead):
    """Instances with named keypoints."""

    task = Task.KEYPOINT_DETECTION

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels, categories=1)
        self.sigmas = tuple(float(sigma) for sigma in config.settings["sigmas"])
        self.keypoint_tower = tower(self.width)
        self.offset = predictor(self.width, [0.0] * (2 * len(self.sigmas)))
        self.visible = predictor(self.width, [0.0] * len(self.sigmas))
        self.refinement = Refinement(self.width, len(self.sigmas))

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:
        """The keypoints' names, their pairs, each one's sigma; how many instances there may be."""
        assert isinstance(info, KeypointInfo)
        return {
            "keypoints": list(info.categories),
            "symmetry": [list(pair) for pair in info.symmetry or ()],
            "sigmas": [SIGMA] * len(info.categories),
        } | limit(info)

    def _dense(self, features: Features) -> _Said:
        parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        regions: list[Tensor] = []
        for level in self.dense_levels(features):
            said = self.keypoint_tower(level.feature)
            offsets = flat(self.offset(said) * self.scale[level.number]) * level.stride
            keypoints = level.points[:, None] + offsets.view(*offsets.shape[:2], -1, 2)
            parts.append((self.logits(level), keypoints, flat(self.visible(said)), level.points))
            regions.append(said)
        logits, found, visibility, points = zip(*parts, strict=True)
        return _Said(
            torch.cat(logits, 1),
            torch.cat(found, 1),
            torch.cat(visibility, 1),
            torch.cat(points),
            regions,
        )

    def _refined(self, said: _Said, points: Tensor) -> Tensor:
        """float [B, S, K, 2]: what a second look makes of the keypoints of points [B, S]."""
        rows = torch.arange(len(points), device=points.device)[:, None]
        expected = said.keypoints[rows, points].detach()
        instances = at_points(said.regions, points)
        finest, stride = said.regions[0], 2 ** self.levels[0]
        found: Tensor = self.refinement(finest, stride, instances, expected)
        return found

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
                "refinement": self._no_refinement(said),
                "visibility": Loss(said.visibility.sum() * 0, none),
            }
        said = said.of(rows)
        known = [target for target in targets if isinstance(target, KeypointsTarget)]
        truth = self._instances(known, said.logits.device)
        scores, keypoints = said.logits.detach().sigmoid(), said.keypoints.detach()
        found = assign(scores, keypoints, said.points, truth)
        amount = found.weight.sum()
        placed = _misplaced(said.keypoints, found, truth)
        seen = F.binary_cross_entropy_with_logits(
            said.visibility, found.own(truth.visible).to(said.visibility.dtype), reduction="none"
        ).mean(-1)
        return {
            "classification": Loss(quality_focal_loss(said.logits, found.scores), amount),
            "keypoints": Loss((placed * found.weight).sum(), amount),
            "refinement": self._refinement_loss(said, found, truth),
            "visibility": Loss(VISIBILITY_WEIGHT * (seen * found.weight).sum(), amount),
        }

    def _refinement_loss(self, said: _Said, found: Assignment, truth: Instances) -> Loss:
        """What is wrong after a second look, by the weight of sampled points."""
        chosen = [choose(count) for count in truth.counts]
        most = max(map(len, chosen))
        if not most:
            return self._no_refinement(said)
        places = places_of(chosen, truth.counts).to(said.logits.device, non_blocking=True)
        point = sample(found, places, most).point
        some = found.at(point)
        placed = _misplaced(self._refined(said, point), some, truth)
        return Loss((placed * some.weight).sum(), some.weight.sum())

    def _no_refinement(self, said: _Said) -> Loss:
        """Nothing to learn; its parameters have a gradient all the same."""
        anybody = torch.zeros(len(said.logits), 1, dtype=torch.int64, device=said.logits.device)
        return Loss(self._refined(said, anybody).sum() * 0, said.logits.new_zeros(()))

    def predict(self, view: View) -> list[KeypointsPrediction]:
        """Instances after non-maximum suppression of their boxes, within the input."""
        said = self._dense(view.features)
        edge = said.keypoints.new_tensor(self.input_size(view.features))
        scores, visibility = said.logits.sigmoid(), said.visibility.sigmoid()
        return [
            self._instances_of(said.of([row]), scores[row], visibility[row], edge)
            for row in range(len(scores))
        ]

    def _instances_of(
        self, said: _Said, scores: Tensor, visibility: Tensor, edge: Tensor
    ) -> KeypointsPrediction:
        """The instances of one image, whose keypoints have had a second look."""
        within = said.keypoints[0].clamp(min=0).minimum(edge)
        chosen = _suppressed(scores, within, visibility, self.most)
        keypoints = self._refined(said, chosen.point[None])[0].clamp(min=0).minimum(edge)
        return KeypointsPrediction(
            keypoints.cpu(), visibility[chosen.point].cpu(), chosen.score.cpu()
        )

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


def _misplaced(keypoints: Tensor, found: Assignment, truth: Instances) -> Tensor:
    """[B, P]: how wrong keypoints [B, P, K, 2] are of what their points learn, by mean over K.

    Background's are finite, and no more than that.
    """
    visible = found.own(truth.visible)  # [B, P, K]
    true, area = found.own(truth.points), areas(found.boxes)
    share = visible / visible.sum(-1, keepdim=True).clamp(min=1)
    unlike = 1 - (-distances(keypoints, true, area, truth.sigmas)).exp()
    offset = (keypoints - true).abs().mean(-1) / area.sqrt()[..., None]
    return ((SIMILARITY_WEIGHT * unlike + OFFSET_WEIGHT * offset) * share).sum(-1)


def _suppressed(scores: Tensor, keypoints: Tensor, visibility: Tensor, most: int) -> Chosen:
    """The best instances, so many at most, of [P, 1], [P, K, 2] and probabilities [P, K]."""
    likely = visibility.amax(1, keepdim=True).clamp(max=VISIBLE)  # the likest, where none is likely
    return suppressed(scores, boxes(keypoints, visibility >= likely), NMS_IOU, most)


HEAD = KeypointDetection
