"""A device whose answers nobody can wait for: tensors without content, on torch's `meta`.

What must know a number of such a tensor (`item`, an index by a mask, a branch) cannot be done at
all and raises by itself. What copies a number over and waits for that is noted here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = "meta"


@contextmanager
def noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of what a GPU would have been waited for meanwhile."""
    found: list[str] = []
    with monkeypatch.context() as patch, _Calls(found), _Copies(found):
        # Neither is there for this device; on a GPU neither waits.
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
        patch.setattr(F, "ctc_loss", lambda logs, *_, **__: -logs.mean((0, 2)))
        yield found


class _Calls(TorchFunctionMode):
    """Lists and numbers that are made tensors of the device, as an index or by themselves."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", str(func))
        if args and isinstance(args[0], Tensor) and args[0].is_meta:
            index = args[1] if name in ("__getitem__", "__setitem__") else ()
            parts = index if isinstance(index, tuple) else (index,)
            if name == "new_tensor" or any(isinstance(each, list) for each in parts):
                self.found.append(name)
        return func(*args, **(kwargs or {}))


class _Copies(TorchDispatchMode):
    """Copies to the device that wait until they are done."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, made)) if isinstance(each, Tensor)]
        both = {each.is_meta for each in tensors if each.ndim} == {True, False}
        if both and not (kwargs or {}).get("non_blocking") and True not in args[2:3]:
            self.found.append(str(func))
        return made
