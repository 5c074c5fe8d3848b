"""Optimizers, as torch has them."""

from __future__ import annotations

import torch
from torch import nn

from sihl_api.training import Optimizer, OptimizerName

MOMENTUM = 0.9


def build_optimizer(settings: Optimizer, model: nn.Module) -> torch.optim.Optimizer:
    """An optimizer over all weights; norms and biases do not decay."""
    decaying = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decaying, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if settings.name is OptimizerName.ADAMW:
        return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
    momentum = MOMENTUM if settings.momentum is None else settings.momentum
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=momentum, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate
