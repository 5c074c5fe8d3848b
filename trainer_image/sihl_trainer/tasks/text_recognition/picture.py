"""A text written on its image."""

from __future__ import annotations

from PIL import Image
from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.drawing import caption
from sihl_trainer.tasks.picture import Painter
from sihl_trainer.tasks.text_recognition.metric import TextPrediction
from sihl_trainer.tasks.text_recognition.target import TextTarget


class TextPainter(Painter):
    """The text in quotes, and how sure the head is of it."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.tokens: list[str] = list(config.settings["categories"])

    def target(self, canvas: Image.Image, target: TextTarget) -> Image.Image:
        """The text."""
        return caption(canvas, f'"{self._joined(target.tokens)}"', 0)

    def prediction(self, canvas: Image.Image, prediction: TextPrediction) -> Image.Image:
        """The text that was read, and its probability."""
        text = f'"{self._joined(prediction.tokens)}" {prediction.confidence:.0%}'
        return caption(canvas, text, 0)

    def written(
        self,
        prediction: TextPrediction,
        size: tuple[int, int],  # noqa: ARG002
        fit: Letterboxing,  # noqa: ARG002
    ) -> str:
        """The text that was read."""
        return self._joined(prediction.tokens)

    def _joined(self, tokens: Tensor) -> str:
        return "".join(self.tokens[token] for token in tokens.tolist())


PAINTER = TextPainter
