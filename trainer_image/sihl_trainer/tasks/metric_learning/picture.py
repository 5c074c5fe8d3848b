"""An identity written on its image."""

from __future__ import annotations

from PIL import Image

from sihl_api.record import HeadConfig
from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.drawing import caption
from sihl_trainer.tasks.metric_learning.metric import EmbeddingPrediction
from sihl_trainer.tasks.metric_learning.target import IdentityTarget
from sihl_trainer.tasks.picture import Painter


class IdentityPainter(Painter):
    """The identity's name; of a prediction, the nearest that was learnt and how near it is."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.identities: list[str] = list(config.settings["categories"])

    def target(self, canvas: Image.Image, target: IdentityTarget) -> Image.Image:
        """The identity's name, where the head knows it: those of validation it need not."""
        known = target.identity < len(self.identities)
        name = self.identities[target.identity] if known else "not learnt"
        return caption(canvas, name, target.identity)

    def prediction(self, canvas: Image.Image, prediction: EmbeddingPrediction) -> Image.Image:
        """The nearest identity's name, and its cosine."""
        name = self.identities[prediction.identity]
        return caption(canvas, f"{name} {prediction.similarity:.2f}", prediction.identity)

    def written(
        self,
        prediction: EmbeddingPrediction,
        size: tuple[int, int],  # noqa: ARG002
        fit: Letterboxing,  # noqa: ARG002
    ) -> str:
        """The nearest identity's name."""
        return self.identities[prediction.identity]


PAINTER = IdentityPainter
