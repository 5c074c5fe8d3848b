"""Labels written on their image, one below the other."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image

from sihl_api.record import HeadConfig
from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.drawing import caption
from sihl_trainer.tasks.multilabel_classification.metric import LabelsPrediction
from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget
from sihl_trainer.tasks.picture import Painter

_LINE = 14  # pixels from one label to the next


class LabelsPainter(Painter):
    """The labels' names, and how sure the head is of each; nothing where there is none."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.labels: list[str] = list(config.settings["categories"])

    def target(self, canvas: Image.Image, target: LabelsTarget) -> Image.Image:
        """The labels' names."""
        return _listed(canvas, ((label, self.labels[label]) for label in target.labels.tolist()))

    def prediction(self, canvas: Image.Image, prediction: LabelsPrediction) -> Image.Image:
        """Names and probabilities of the labels that are there rather than not."""
        shares = prediction.probabilities.tolist()
        found = prediction.labels.tolist()
        lines = ((label, f"{self.labels[label]} {shares[label]:.0%}") for label in found)
        return _listed(canvas, lines)

    def written(
        self,
        prediction: LabelsPrediction,
        size: tuple[int, int],  # noqa: ARG002
        fit: Letterboxing,  # noqa: ARG002
    ) -> list[str]:
        """The names of the labels that are there rather than not."""
        return [self.labels[label] for label in prediction.labels.tolist()]


def _listed(canvas: Image.Image, lines: Iterable[tuple[int, str]]) -> Image.Image:
    for count, (label, text) in enumerate(lines):
        caption(canvas, text, label, (0, count * _LINE))
    return canvas


PAINTER = LabelsPainter
