"""torchvision's models.

They have our backbone and a pyramid of our width, since with their own of 256 channels they would
get through a fraction of the steps. Of the two-stage ones, which are made for photographs of many
objects, heads and proposals are fewer for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18
from torchvision.models.detection import FCOS, KeypointRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.dataset.dataset import Datasets
from sihl_trainer.dataset.samples import Batch
from sihl_trainer.tasks.keypoint_detection.metric import KeypointsPrediction
from sihl_trainer.tasks.masks.crops import InstancesPrediction
from sihl_trainer.tasks.object_detection.metric import BoxesPrediction
from sihl_trainer.tasks.semantic_segmentation.metric import SemanticPrediction
from sihl_trainer.tasks.semantic_segmentation.target import SemanticTarget
from tests.bench.tasks.networks import Measured, Network, by_our_metric, our_model
from tests.bench.tasks.plans import HEAD, PYRAMID

CHANNELS = int(str(PYRAMID["channels"]))
LEAST_SCORE = 0.05  # of a detection, as ours
MASK_THRESHOLD = 0.5
ENLARGED = 2  # times: DeepLab's stride is 16, and most digits have no more than 30 pixels
IGNORED = -1
ANCHORS = ((4,), (8,), (16,), (32,), (64,))
PROPOSALS = {
    "rpn_anchor_generator": AnchorGenerator(
        tuple((2 * size[0],) for size in ANCHORS), ((0.5, 1.0, 2.0),) * len(ANCHORS)
    ),
    "rpn_pre_nms_top_n_train": 500,
    "rpn_post_nms_top_n_train": 200,
    "rpn_pre_nms_top_n_test": 500,
    "rpn_post_nms_top_n_test": 200,
    "box_batch_size_per_image": 64,
    "box_score_thresh": LEAST_SCORE,
}


# --- detectors ---------------------------------------------------------------------------------


def pyramid() -> nn.Module:
    """A ResNet-18 with levels of strides 4 to 64."""
    layers = {f"layer{number}": str(number - 1) for number in range(1, 5)}
    found: nn.Module = BackboneWithFPN(
        resnet18(weights=None), layers, [64, 128, 256, 512], CHANNELS, LastLevelMaxPool()
    )
    return found


def detector(
    model: nn.Module,
    truth: Callable[[Any], dict[str, Tensor]],
    measure: Callable[[Sequence[tuple[Batch, Any]]], Measured],
) -> Network:
    """A model of torchvision's detection package.

    Args:
        model: Gives losses while it trains, detections otherwise.
        truth: A target as it wants it.
        measure: See `Network`.
    """

    def loss(batch: Batch) -> Tensor:
        targets = [truth(target) for target in batch.targets[HEAD]]
        losses: dict[str, Tensor] = model(list(batch.images / 255), targets)
        return torch.stack(list(losses.values())).sum()

    return Network(model, loss, measure, lambda batch: model(list(batch.images / 255)))


def sides(spec: TrainingJobSpec) -> dict[str, int]:
    """The models' own scaling, told to change nothing."""
    size = spec.training.input_size
    return {
        "min_size": min(size.width, size.height),
        "max_size": max(size.width, size.height),
    }


def fcos(spec: TrainingJobSpec, data: Datasets) -> Network:
    """Tian et al., 2019."""
    reference = our_model(spec, data)
    model = FCOS(
        pyramid(),
        len(data.head_info[HEAD].categories),
        anchor_generator=AnchorGenerator(ANCHORS, ((1.0,),) * len(ANCHORS)),
        score_thresh=LEAST_SCORE,
        **sides(spec),
    )

    def measure(answered: Sequence[tuple[Batch, Any]]) -> Measured:
        return by_our_metric(
            reference,
            answered,
            lambda each: BoxesPrediction(each["boxes"], each["labels"], each["scores"]),
        )

    return detector(
        model, lambda target: {"boxes": target.boxes, "labels": target.categories}, measure
    )


def keypoint_rcnn(spec: TrainingJobSpec, data: Datasets) -> Network:
    """He et al., 2017; an instance's box is the one around its visible keypoints."""
    reference = our_model(spec, data)
    count = len(data.head_info[HEAD].categories)
    model = KeypointRCNN(
        pyramid(),
        keypoint_head=KeypointRCNNHeads(CHANNELS, (2 * CHANNELS,) * 4),
        num_classes=2,
        num_keypoints=count,
        **PROPOSALS,
        **sides(spec),
    )
    predictor = KeypointRCNNPredictor(2 * CHANNELS, count)
    model.roi_heads.keypoint_predictor = nn.Sequential(predictor, Contiguous())

    def truth(target: Any) -> dict[str, Tensor]:
        shown = target.visible[..., None]
        least = torch.where(shown, target.points, torch.inf).amin(1)
        most = torch.where(shown, target.points, -torch.inf).amax(1)
        boxes = torch.cat((least - 1, most + 1), 1)  # points on one line have no area
        return {
            "boxes": boxes,
            "labels": torch.ones(len(boxes), dtype=torch.int64),
            "keypoints": torch.cat((target.points, shown.float()), 2),
        }

    def measure(answered: Sequence[tuple[Batch, Any]]) -> Measured:
        return by_our_metric(reference, answered, keypoints_prediction)

    return detector(model, truth, measure)


class Contiguous(nn.Module):
    """What the loss of keypoints asks for: it does not know channels that come last."""

    def forward(self, values: Tensor) -> Tensor:
        """The same."""
        return values.contiguous()


def keypoints_prediction(found: dict[str, Tensor]) -> KeypointsPrediction:
    """Detections in the shape that our metric reads."""
    points = found["keypoints"]
    return KeypointsPrediction(points[..., :2], torch.ones(points.shape[:2]), found["scores"])


def mask_rcnn(spec: TrainingJobSpec, data: Datasets) -> Network:
    """He et al., 2017."""
    reference = our_model(spec, data)
    categories = len(data.head_info[HEAD].categories)
    model = MaskRCNN(
        pyramid(),
        mask_head=MaskRCNNHeads(CHANNELS, (CHANNELS,) * 4, 1),
        num_classes=categories + 1,
        **PROPOSALS,
        **sides(spec),
    )
    model.roi_heads.mask_predictor = MaskRCNNPredictor(CHANNELS, CHANNELS, categories + 1)

    def truth(target: Any) -> dict[str, Tensor]:
        width, height = target.map_size
        masks = torch.zeros(len(target.boxes), height, width, dtype=torch.uint8)
        areas = target.boxes.tolist()
        for whole, mask, (left, top, right, bottom) in zip(
            masks, target.masks(), areas, strict=True
        ):
            whole[top:bottom, left:right] = mask
        return {"boxes": target.boxes.float(), "labels": target.categories + 1, "masks": masks}

    def measure(answered: Sequence[tuple[Batch, Any]]) -> Measured:
        return by_our_metric(reference, answered, instances_prediction)

    return detector(model, truth, measure)


def instances_prediction(found: dict[str, Tensor]) -> InstancesPrediction:
    """Detections in the shape that our metric reads; an empty mask's box is empty."""
    boxes, crops = torch.zeros(len(found["scores"]), 4, dtype=torch.int32), []
    for box, mask in zip(boxes, found["masks"][:, 0] > MASK_THRESHOLD, strict=True):
        rows, columns = (mask.any(axis).nonzero().flatten() for axis in (1, 0))
        if len(rows):
            ends = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            box.copy_(torch.stack(ends))
        left, top, right, bottom = box.tolist()
        crops.append(mask[top:bottom, left:right])
    return InstancesPrediction(boxes, crops, found["labels"] - 1, found["scores"])


# --- maps ------------------------------------------------------------------------------------


def deeplabv3(spec: TrainingJobSpec, data: Datasets) -> Network:
    """Chen et al., 2017, on MobileNetV3, which sees images enlarged."""
    reference = our_model(spec, data)
    categories = len(data.head_info[HEAD].categories)
    model = deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=categories
    )
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((124.0, 116.0, 104.0), (58.0,) * 3))

    def logits(batch: Batch) -> Tensor:
        """[B, C, H, W]."""
        images = (batch.images - mean) / std
        larger = F.interpolate(images, scale_factor=ENLARGED, mode="bilinear")
        found: Tensor = model(larger)["out"]
        return F.avg_pool2d(found, ENLARGED)

    def truth(batch: Batch) -> Tensor:
        """[B, H, W], the categories' indices."""
        known = [t for t in batch.targets[HEAD] if isinstance(t, SemanticTarget)]
        return torch.stack([target.labels.long() - 1 for target in known])

    def loss(batch: Batch) -> Tensor:
        return F.cross_entropy(logits(batch), truth(batch), ignore_index=IGNORED)

    def measure(answered: Sequence[tuple[Batch, Any]]) -> Measured:
        return by_our_metric(
            reference, answered, lambda each: SemanticPrediction((each + 1).to(torch.uint8))
        )

    return Network(model, loss, measure, lambda batch: logits(batch).argmax(1))


NETWORKS: dict[str, tuple[str, Callable[[TrainingJobSpec, Datasets], Network]]] = {
    "fcos": ("torchvision FCOS", fcos),
    "keypoint-rcnn": ("torchvision Keypoint R-CNN", keypoint_rcnn),
    "mask-rcnn": ("torchvision Mask R-CNN", mask_rcnn),
    "deeplabv3": ("torchvision DeepLabV3", deeplabv3),
}
"""By name: what the table calls it, and how it is made."""
