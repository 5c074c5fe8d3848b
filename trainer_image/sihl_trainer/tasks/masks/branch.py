"""The instance branch: a dense detector whose points also tell masks (CondInst)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sihl_api.record import HeadConfig
from sihl_trainer.tasks.dense.assignment import Assignment
from sihl_trainer.tasks.dense.limit import USUAL_MASKS, limit_of
from sihl_trainer.tasks.dense.points import at_points
from sihl_trainer.tasks.dense.sampling import choose, places_of, sample
from sihl_trainer.tasks.dense.suppression import suppressed
from sihl_trainer.tasks.device import of_images
from sihl_trainer.tasks.head import Loss
from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget
from sihl_trainer.tasks.masks.coverage import FULL, coverage
from sihl_trainer.tasks.masks.crops import InstancesPrediction, cropped, joined
from sihl_trainer.tasks.masks.dynamic import FINER, DynamicMasks, dice, masks
from sihl_trainer.tasks.object_detection.head import NMS_IOU, Dense, ObjectDetection
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from sihl_trainer.tasks.passes import Features

_MOST_CELLS = 2**14
"""Of the level that mask features are made of: 128 x 128. Finer ones cost more than they show."""
_CHUNK = 16
"""Masks that are predicted together."""


class InstanceBranch(nn.Module):
    """Objects with categories, boxes and masks.

    Args:
        config: Levels, and categories in its settings.
        channels: Of the levels that are there.
    """

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.detection = ObjectDetection(config, channels)
        self.levels = self.detection.levels
        self.most = limit_of(config.settings, USUAL_MASKS)
        self.masks = DynamicMasks(channels[self.levels[0]])

    def loss(
        self, features: Features, targets: Sequence[InstancesTarget | None]
    ) -> dict[str, Loss]:
        """The detector's losses, and the Dice loss of sampled points' masks, by their number."""
        dense = self.detection.dense(features)
        boxes = [
            None if target is None else BoxesTarget(target.boxes.float(), target.categories)
            for target in targets
        ]
        losses, found = self.detection.learnt(dense, boxes)
        level = self._mask_level(features)
        seen = self.masks.seen(features[level])
        rows = [row for row, target in enumerate(targets) if target is not None]
        known = [target for target in targets if target is not None]
        if found is None or not any(len(target.boxes) for target in known):
            filters = self.masks.filters(
                at_points(dense.regions, _no_points(seen, len(rows)), rows)
            )
            unused = seen.sum() * 0 + filters.sum() + sum(r.sum() * 0 for r in dense.regions)
            return losses | {"mask": Loss(unused, seen.new_zeros(()))}
        mask = self._mask_loss(
            dense, found, rows, known, (of_images(seen, rows), 2**level // FINER)
        )
        return losses | {"mask": mask}

    def _mask_loss(
        self,
        dense: Dense,
        found: Assignment,
        rows: list[int],
        targets: Sequence[InstancesTarget],
        image: tuple[Tensor, int],
    ) -> Loss:
        """Of annotated images: `image` is their mask features and the stride of these."""
        seen, stride = image
        chosen = [choose(len(target.boxes)) for target in targets]
        places = places_of(chosen, [len(target.boxes) for target in targets])
        places = places.to(seen.device, non_blocking=True)
        taken = sample(found, places, max(map(len, chosen)))
        filters = self.masks.filters(at_points(dense.regions, taken.point, rows))
        points, strides = dense.points[taken.point], self._strides(dense)[taken.point]
        size = (seen.shape[3], seen.shape[2])
        total = seen.sum() * 0
        for row, (target, own) in enumerate(zip(targets, chosen, strict=True)):
            if not own:
                continue
            truth = coverage(target, own, stride, size).to(seen.device, non_blocking=True)
            # What only fills an image up has some mask too: whatever its loss, it is not counted.
            truth = truth[taken.learnt[row].clamp(max=len(own) - 1)]
            # One image's masks take as much memory as its backbone: kept for none, made anew.
            loss = checkpoint(
                _mask_losses, filters[row], points[row], strides[row], seen[row], stride, truth,
                use_reentrant=False, preserve_rng_state=False,
            )  # fmt: skip
            total = total + torch.where(taken.real[row], loss, 0.0).sum()
        return Loss(total, taken.real.sum().float())

    def detect(self, features: Features, size: tuple[int, int]) -> list[InstancesPrediction]:
        """The objects of each image whose input has this (width, height), on the CPU."""
        dense = self.detection.dense(features)
        level = self._mask_level(features)
        seen, stride = self.masks.seen(features[level]), 2**level // FINER
        strides = self._strides(dense)
        limit = dense.boxes.new_tensor([*size, *size])
        boxes, scores = dense.boxes.clamp(min=0).minimum(limit), dense.logits.sigmoid()
        results = []
        for row in range(len(seen)):
            point, category, score = suppressed(scores[row], boxes[row], NMS_IOU, self.most)
            filters = self.masks.filters(at_points(dense.regions, point[None], [row]))[0]
            found = boxes[row, point].cpu(), category.cpu(), score.cpu()
            parts = []
            for part in (slice(i, i + _CHUNK) for i in range(0, len(point), _CHUNK)):
                own = point[part]
                inside = masks(filters[part], dense.points[own], strides[own], seen[row], stride)
                some = found[0][part], found[1][part], found[2][part]
                parts.append(cropped(inside.sigmoid().cpu(), stride, size, some))
            results.append(joined(parts))
        return results

    def _mask_level(self, features: Features) -> int:
        """The finest level that is not too large, or the last."""
        sizes = ((level, features[level].shape[-2:].numel()) for level in self.levels)
        fitting = (level for level, cells in sizes if cells <= _MOST_CELLS)
        return next(fitting, self.levels[-1])

    def _strides(self, dense: Dense) -> Tensor:
        """float [P], of each point's level."""
        return torch.cat(
            [
                dense.points.new_full((region.shape[-2:].numel(),), 2.0**level)
                for level, region in zip(self.levels, dense.regions, strict=True)
            ]
        )


def _mask_losses(
    filters: Tensor, points: Tensor, strides: Tensor, seen: Tensor, stride: int, truth: Tensor
) -> Tensor:
    """[S]: of one image's masks."""
    return dice(masks(filters, points, strides, seen, stride), truth / FULL)


def _no_points(seen: Tensor, images: int) -> Tensor:
    return torch.zeros((images, 0), dtype=torch.int64, device=seen.device)
