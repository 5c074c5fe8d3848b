"""A batch on its way from a loader process: in shared memory, or through the pipe where none is.

torch would hand each tensor over by itself, and from a thread of the loader where an error is
printed and the batch is gone: whoever waits for it waits for ever. Here a batch's tensors lie in
one piece (one file descriptor however many targets it has), made where an error can be answered.
"""

from __future__ import annotations

import io
import os
import pickle
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeAlias

import torch
import torch.multiprocessing  # teaches ForkingPickler to hand over a descriptor
from torch import Tensor

from sihl_trainer.dataset.samples import Batch

SHARED = "/dev/shm"  # noqa: S108 (where the C library puts shared memory)
_new_shared: Any = torch.UntypedStorage._new_shared
_ALIGNMENT = 64
_KEPT_FREE = 8
"""One part in so many: semaphores, and what ranks share, lie there too."""

_Place: TypeAlias = "tuple[int, torch.dtype, tuple[int, ...]]"
"""Where a tensor lies: its offset in bytes, what it is of, and its shape."""


@dataclass(frozen=True)
class Parcel:
    """A batch that another process made.

    Args:
        frame: The batch, pickled, with places instead of tensors.
        tensors: Their bytes, or the pickled handle of the shared memory that holds them.
        shared: Which of the two.
    """

    frame: bytes
    tensors: bytes | bytearray
    shared: bool

    def pin_memory(self) -> Batch | Parcel:
        """The batch with its images in page-locked memory; itself where it cannot be opened."""
        try:
            return self.open().pin_memory()
        except (EOFError, OSError):
            return self

    def open(self) -> Batch:
        """The batch; its images stay where they came.

        Raises:
            OSError, EOFError: The process that made it is gone, and the memory with it.
        """
        if self.shared:
            flat = ForkingPickler.loads(self.tensors)
        else:
            flat = torch.frombuffer(bytearray(self.tensors), dtype=torch.uint8)
        batch = _Unpickler(self.frame, flat).load()
        assert isinstance(batch, Batch)
        return batch


def packed(batch: Batch) -> Parcel:
    """Made ready to be sent."""
    pickler = _Pickler()
    pickler.dump(batch)
    flat = _shared(pickler.size)
    shared = flat is not None
    if flat is None:
        flat = torch.empty(pickler.size, dtype=torch.uint8)
    for offset, tensor in pickler.tensors:
        _view(flat, offset, tensor.dtype, tuple(tensor.shape)).copy_(tensor)
    if shared:
        try:
            return Parcel(pickler.frame.getvalue(), bytes(ForkingPickler.dumps(flat)), shared=True)
        except (OSError, RuntimeError):
            pass  # no descriptor is left to hand over
    return Parcel(pickler.frame.getvalue(), bytearray(flat.numpy()), shared=False)


def size_of(batch: Batch) -> int:
    """Bytes of shared memory that a batch takes on its way."""
    pickler = _Pickler()
    pickler.dump(batch)
    return pickler.size


def shared_room() -> int:
    """Bytes of shared memory that batches may take; 0 where there is none."""
    try:
        disk = os.statvfs(SHARED)
    except OSError:
        return 0
    return max(0, (disk.f_bavail - disk.f_blocks // _KEPT_FREE) * disk.f_frsize)


def _shared(size: int) -> Tensor | None:
    """So many bytes that another process can map; None where there is no room for them."""
    if size > shared_room():
        return None
    try:
        storage = _new_shared(max(1, size))
    except (OSError, RuntimeError):  # somebody else was faster, or it cannot be written
        return None
    return torch.empty(0, dtype=torch.uint8).set_(storage)


def _view(flat: Tensor, offset: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    count = torch.Size(shape).numel() * dtype.itemsize
    return flat[offset : offset + count].view(dtype).view(shape)


class _Pickler(pickle.Pickler):
    """Leaves a place for each tensor, and gathers them."""

    def __init__(self) -> None:
        self.frame = io.BytesIO()
        self.tensors: list[tuple[int, Tensor]] = []
        self.size = 0
        super().__init__(self.frame)

    def persistent_id(self, obj: Any) -> _Place | None:
        if not isinstance(obj, Tensor):
            return None
        offset = self.size
        self.tensors.append((offset, obj))
        self.size += -(-obj.numel() * obj.itemsize // _ALIGNMENT) * _ALIGNMENT
        return offset, obj.dtype, tuple(obj.shape)


class _Unpickler(pickle.Unpickler):
    def __init__(self, frame: bytes, flat: Tensor) -> None:
        super().__init__(io.BytesIO(frame))
        self._flat = flat

    def persistent_load(self, place: _Place) -> Tensor:
        found = _view(self._flat, *place)
        # The first are the images. The rest is copied: a metric may keep a target for long, and
        # would keep the whole batch in shared memory with it.
        return found if place[0] == 0 else found.clone()
