"""Models on disk: model.safetensors, config.json, and a manifest that is written last."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sihl_api.record import MANIFEST, FileEntry, Manifest, ModelConfig
from sihl_trainer.errors import BadConfig
from sihl_trainer.model.model import VisionModel

log = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
_CHUNK = 1 << 22


def write_folder(
    folder: Path,
    kind: Literal["sihl.ai/checkpoint-1", "sihl.ai/model-1"],
    step: int,
    attempt: int,
    saved_at: str,
    tensors: Mapping[str, Mapping[str, Tensor]],
    texts: Mapping[str, str],
) -> Path:
    """Write files and, as the last one, their manifest; whatever stood there is replaced.

    Args:
        folder: Where to.
        kind: The manifest's format.
        step, attempt, saved_at: The manifest's.
        tensors: By file name, tensors by name, on the CPU.
        texts: By file name.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, content in tensors.items():
        save_file({key: tensor.contiguous() for key, tensor in content.items()}, partial / name)
    for name, text in texts.items():
        (partial / name).write_text(text)
    files = {
        path.name: FileEntry(bytes=path.stat().st_size, sha256=sha256(path))
        for path in sorted(partial.iterdir())
    }
    manifest = Manifest(format=kind, step=step, attempt=attempt, saved_at=saved_at, files=files)
    (partial / MANIFEST).write_text(manifest.model_dump_json(by_alias=True))
    partial.rename(folder)
    return folder


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def save_model(model: VisionModel, folder: Path, step: int, attempt: int, saved_at: str) -> Path:
    """Write a model's folder."""
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    config = model.config.model_dump_json(by_alias=True, indent=1)
    return write_folder(
        folder, "sihl.ai/model-1", step, attempt, saved_at, {WEIGHTS: state}, {CONFIG: config}
    )


def load_model(folder: Path, device: torch.device | str = "cpu") -> VisionModel:
    """A model as it was saved, ready to predict; needs no dataset.

    Raises:
        FileNotFoundError: A file is missing.
    """
    config = ModelConfig.model_validate_json((folder / CONFIG).read_text())
    model = VisionModel(config)
    model.load_state_dict(load_file(folder / WEIGHTS))
    return model.to(device).eval()


def initialize_from(model: VisionModel, folder: Path) -> int:
    """Take every weight of another model whose name and shape fit; returns how many.

    Raises:
        BadConfig: None fits.
    """
    own = model.state_dict()
    given = load_file(folder / WEIGHTS)
    fitting = {
        name: tensor
        for name, tensor in given.items()
        if name in own and own[name].shape == tensor.shape
    }
    if not fitting:
        raise BadConfig(
            "InitializationUnsuitable",
            "no weight of the model that model.initialization names fits this job's model: they "
            "have no backbone, neck or head in common",
        )
    model.load_state_dict(fitting, strict=False)
    left = sorted(set(own) - set(fitting))
    log.info("took %d of %d weights from the earlier model", len(fitting), len(own))
    if left:
        shown = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
        log.info("%d weights start at random: %s", len(left), shown)
    return len(fitting)
