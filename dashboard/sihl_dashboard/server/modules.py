"""The modules of the pages: which of them a page takes, and the version that all are of.

Nothing bundles them, so a browser learns of a module from the one that asks for it, one after the
other. The page names all that it takes at once, under an address that changes when they do: what a
browser has of it, it need not ask for again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

ROOT = "/static/"
_ENTRY = "main.mjs"
_IMPORTED = re.compile(r'from "(\.{1,2}/[^"]+\.mjs)"')
_FETCHED = re.compile(r'from "(/assets/[^"]+)"')
_STYLED = re.compile(r'"\.\./(\w+\.css)"|"(/assets/[^"]+\.css)"')
_LAZY = re.compile(r'\bmodule: "(\w+)"')
_VERSION = re.compile(r"v-[0-9a-f]{16}")


def version_of(folder: Path) -> str:
    """Of the files as they are now: another one when any is changed, added or removed."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return _version(tuple((file, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=2)
def _version(files: tuple[tuple[Path, int], ...]) -> str:
    digest = blake2b(digest_size=8)
    for file, _ in files:
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)} ".encode() + content)
    return f"v-{digest.hexdigest()}"


def parted(path: str) -> tuple[str | None, str]:
    """The version that a path below `ROOT` begins with, if any, and the rest."""
    version, _, rest = path.partition("/")
    return (version, rest) if _VERSION.fullmatch(version) else (None, path)


def page_of(folder: Path, page: str) -> bytes:
    """index.html, which names the modules that the page of that name takes, and their version."""
    return _page(folder, page, version_of(folder))


@lru_cache(maxsize=16)
def _page(folder: Path, page: str, version: str) -> bytes:
    text = (folder / "index.html").read_text()
    taken = needed_by(folder, page)
    code = "".join((folder / name).read_text() for name in taken)
    modules = [ROOT + name for name in taken] + _FETCHED.findall(code)
    styles = [found or ROOT + own for own, found in _STYLED.findall(code)]
    links = [f'<link rel="preload" as="style" href="{each}">\n' for each in dict.fromkeys(styles)]
    links += [f'<link rel="modulepreload" href="{each}">\n' for each in dict.fromkeys(modules)]
    text = text.replace("</head>", "".join(links) + "</head>")
    return text.replace(f'"{ROOT}', f'"{ROOT}{version}/').encode()


def needed_by(folder: Path, page: str) -> list[str]:
    """All that the page of that name imports at once, and its parts: paths below the folder."""
    found = [_ENTRY, f"pages/{page}.mjs"]
    for name in found:  # which grows
        text = (folder / name).read_text()
        asked = [(folder / name).parent / path for path in _IMPORTED.findall(text)]
        asked += [folder / "parts" / f"{part}.mjs" for part in _LAZY.findall(text)]
        paths = [path.resolve().relative_to(folder.resolve()).as_posix() for path in asked]
        found += [path for path in dict.fromkeys(paths) if path not in found]
    return found
