"""Retrieval by embeddings: Musgrave et al., "A Metric Learning Reality Check" (ECCV 2020)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from sihl_trainer.tasks.measures.base import Kept

_CELLS = 1 << 23  # similarities at a time, four bytes each
_TIE = 1e-6


class Retrieval(Kept):
    """Recall@1, R-precision and MAP@R of images that are looked for among all others.

    Every image is a query whose gallery is all images but itself, by cosine; R is how many of
    those show its identity. An identity with one image is in galleries, but is no query.
    Embeddings are kept as float32: at half precision neighbours would change places.

    Cosines that differ by less than 1e-6 are ties, and ties count against the query: a model whose
    embeddings have all become the same finds nothing.

    Args:
        length: of an embedding.
    """

    def __init__(self, length: int) -> None:
        super().__init__([("embedding", "f4", (length,)), ("identity", "i8")])

    def update(self, embeddings: ArrayLike, identities: ArrayLike) -> None:
        """Add embeddings float [B, E], of any length, and whom they show, integers [B]."""
        rows = np.nan_to_num(np.asarray(embeddings, np.float32))
        self.rows.add(len(rows), embedding=rows, identity=identities)

    def compute(self) -> dict[str, float]:
        """`recall1`, `r_precision` and `map_r`: means over queries; without any, nothing."""
        table = self.rows.table()
        gallery = F.normalize(torch.from_numpy(table["embedding"].copy()), dim=1)
        _, identity, images = torch.unique(
            torch.from_numpy(table["identity"].copy()), return_inverse=True, return_counts=True
        )
        others = images[identity] - 1
        queries = torch.argsort(others)  # alike in R, so that one chunk looks equally deep
        queries = queries[others[queries] > 0]
        sums, size = torch.zeros(3, dtype=torch.float64), max(1, _CELLS // max(1, len(gallery)))
        for start in range(0, len(queries), size):
            sums += _measured(gallery, identity, others, queries[start : start + size])
        if not len(queries):
            return {}
        recall, precision, mean_precision = (sums / len(queries)).tolist()
        return {"recall1": recall, "r_precision": precision, "map_r": mean_precision}


def _measured(gallery: Tensor, identity: Tensor, others: Tensor, queries: Tensor) -> Tensor:
    """Sums over queries [Q] of recall@1, R-precision and MAP@R."""
    similarity = gallery[queries] @ gallery.T  # [Q, N]
    similarity -= _TIE * (identity[queries, None] == identity)
    similarity[torch.arange(len(queries)), queries] = -torch.inf
    wanted = others[queries, None]  # R
    depth = int(wanted.max())
    nearest = similarity.topk(depth, dim=1).indices
    rank = torch.arange(1, depth + 1)
    relevant = (identity[nearest] == identity[queries, None]) & (rank <= wanted)
    precision = relevant.cumsum(1) / rank
    return torch.stack(
        (
            relevant[:, 0].sum(dtype=torch.float64),
            (relevant / wanted).sum(dtype=torch.float64),
            (precision * relevant / wanted).sum(dtype=torch.float64),
        )
    )
