"""A Secret's keys as they are now: the files that the kubelet keeps up to date, else variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sihl_api.runtime import DATASET_KEYS, STORE_KEYS, Env


def store_keys(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with SIHL_STORE_* as the files of the store's Secret have them by now."""
    return _current(environ, Env.STORE_FILES, Env.store, STORE_KEYS)


def dataset_keys(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with SIHL_DATASET_* as the files of the dataset's Secret have them by now."""
    return _current(environ, Env.DATASET_FILES, Env.dataset, DATASET_KEYS)


def _current(
    environ: Mapping[str, str], files: str, variable: Callable[[str], str], keys: tuple[str, ...]
) -> Mapping[str, str]:
    """Where the folder has files they are all there is: a key without one was taken out."""
    found = _files(Path(environ[files])) if environ.get(files) else {}
    if not found:
        return environ
    names = {key: variable(key) for key in keys}
    rest = {name: value for name, value in environ.items() if name not in names.values()}
    return {**rest, **{names[key]: text for key, text in found.items() if key in names}}


def _files(folder: Path) -> dict[str, str]:
    """Contents by name. One that goes while it is read is read the next time the store refuses."""
    found = {}
    try:
        # The kubelet swaps all of them at once, by a link whose name begins with two dots.
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(".") and path.is_file():
                found[path.name] = path.read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return found
