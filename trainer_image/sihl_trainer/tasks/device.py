"""From the host to where a head computes, without waiting until that is done with what it has.

A list as an index, a list made a tensor over there, a copy that is not told otherwise: on a GPU
each of them waits for all that was asked before, and a step has dozens of heads' lines.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def on_device(values: Sequence[int] | Sequence[float], like: Tensor) -> Tensor:
    """Numbers, [N], where another tensor lies: whole ones are int64, others float32."""
    # From the host: where targets lay on the device, each would be waited for by itself.
    return torch.tensor(values).to(like.device, non_blocking=True)


def of_images(values: Tensor, rows: Sequence[int]) -> Tensor:
    """[len(rows), ...]: some images' of a batch's [B, ...]; all of them are not copied.

    Args:
        values: By image.
        rows: Which, each once and in order.
    """
    if len(rows) == len(values):
        return values
    return values.index_select(0, on_device(rows, values).long())
