"""Text recognition: a feature for each column of the image, and a token or none for each.

Connectionist temporal classification (Graves et al., ICML 2006) learns which column shows which
token. Rows are pooled by learnt attention, as what a column shows may stand anywhere in it, and
columns are mixed along the line (Du et al., "SVTR", IJCAI 2022, does both within its backbone).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.device import of_images
from sihl_trainer.tasks.head import Head, Loss
from sihl_trainer.tasks.passes import Features, Pass, View, Views
from sihl_trainer.tasks.target import Target
from sihl_trainer.tasks.text_recognition import columns
from sihl_trainer.tasks.text_recognition.metric import ReadingErrors, TextPrediction
from sihl_trainer.tasks.text_recognition.target import TextTarget

WIDTH = 256
"""Channels of a column."""
MIXERS = 2
EXPECTED = 0.125
"""Tokens a column before anything is learnt."""
_GROUPS = 8


class TextRecognition(Head):
    """One line of text for an image."""

    task = Task.TEXT_RECOGNITION

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.level = config.levels[0]
        self.tokens = list(config.settings["categories"])
        self.blank = len(self.tokens)
        factor = columns.upsampling(self.level)
        self.pool = HeightPooling(channels[self.level], WIDTH)
        self.split = nn.ConvTranspose1d(WIDTH, WIDTH, factor, factor) if factor > 1 else None
        self.mixers = nn.Sequential(*(Mixer(WIDTH) for _ in range(MIXERS)))
        self.score = nn.Linear(WIDTH, len(self.tokens) + 1)
        # At first nearly every column is blank: start from that, and a text's loss grows with its
        # length, not with the image's.
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.zeros_(self.score.bias)
        with torch.no_grad():
            self.score.bias[self.blank] = math.log((1 - EXPECTED) / EXPECTED * len(self.tokens))

    @classmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:
        """The neck's finest, or the backbone's fourth."""
        return columns.default_levels(channels, has_neck)

    def _logs(self, features: Features) -> Tensor:
        """Logarithms of probabilities, float32 [B, T, V + 1]; the blank is last."""
        line = self.pool(features[self.level])
        if self.split is not None:
            line = self.split(line)
        logits: Tensor = self.score(self.mixers(line).transpose(1, 2))
        return logits.float().log_softmax(dim=2)

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Negative log-likelihood of each text, over annotated images.

        It is divided by log(V + 1), the surprise of a token of which nothing is known, and by how
        many tokens the text has and the head expected: between 0.1 and 2.5 at first, however many
        tokens, columns and letters there are.
        """
        logs = self._logs(views[Pass.PLAIN].features)
        rows = [i for i, target in enumerate(targets) if isinstance(target, TextTarget)]
        amount = logs.new_full((), float(len(rows)))
        if not rows:
            return {"ctc": Loss(logs.sum() * 0, amount)}
        logs = of_images(logs, rows)
        texts = [t.tokens for t in targets if isinstance(t, TextTarget)]
        surprise = _surprise(logs, texts, self.blank)
        lengths = torch.tensor([float(len(text)) for text in texts])
        expected = lengths + EXPECTED * logs.shape[1]
        weights = (1 / (math.log(self.blank + 1) * expected)).to(logs.device, non_blocking=True)
        return {"ctc": Loss((surprise * weights).sum(), amount)}

    def predict(self, view: View) -> list[TextPrediction]:
        """The likeliest token of each column, without repeats and blanks."""
        return decoded(self._logs(view.features).cpu(), self.blank)

    def metric(self) -> ReadingErrors:
        """Errors by token, and texts without one."""
        return ReadingErrors()


class HeightPooling(nn.Module):
    """From [B, C, H, W] to [B, width, W]: each group of channels attends to rows of its own."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.value = nn.Conv2d(channels, width, 1)
        self.attention = nn.Conv2d(channels, _GROUPS, 1)

    def forward(self, feature: Tensor) -> Tensor:
        """Columns of the feature."""
        shares = self.attention(feature).softmax(dim=2)  # [B, G, H, W]
        values = self.value(feature).unflatten(1, (_GROUPS, -1))  # [B, G, width / G, H, W]
        pooled: Tensor = (values * shares.unsqueeze(2)).sum(dim=3).flatten(1, 2)
        return pooled


class Mixer(nn.Module):
    """Mixes columns with their neighbours, then channels; from [B, width, T] to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.along = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.across = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, line: Tensor) -> Tensor:
        """The line and what its columns say of one another."""
        mixed = self.norm(self.along(line).transpose(1, 2))
        changed: Tensor = line + self.across(mixed).transpose(1, 2)
        return changed


def _surprise(logs: Tensor, texts: Sequence[Tensor], blank: int) -> Tensor:
    """Negative log-likelihoods [B] of the texts, over all alignments with the columns."""
    lengths = [len(text) for text in texts]
    return F.ctc_loss(
        logs.transpose(0, 1),
        torch.cat(list(texts)).to(logs.device, non_blocking=True),
        torch.full((len(texts),), logs.shape[1]),
        torch.tensor(lengths),
        blank=blank,
        reduction="none",
        # The fetch has refused texts that have too few columns; a validation set's may be longer.
        zero_infinity=True,
    )


def decoded(logs: Tensor, blank: int) -> list[TextPrediction]:
    """The text along the likeliest path: its tokens without repeats, then without blanks.

    Args:
        logs: float32 [B, T, V + 1], logarithms of probabilities.
        blank: The index of none of the tokens.
    """
    paths = [path.unique_consecutive() for path in logs.argmax(dim=2)]
    texts = [path[path != blank] for path in paths]
    confidences = (-_surprise(logs, texts, blank)).exp().tolist()
    return [TextPrediction(*each) for each in zip(texts, confidences, strict=True)]


HEAD = TextRecognition
