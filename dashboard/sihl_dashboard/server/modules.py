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
_IMPORTED = re.compile(r'from "(\.{1,2}/[^"]+\.mjs|/assets/[^"]+)"')
_STYLED = re.compile(r'"\.\./(\w+\.css)"|"(/assets/[^"]+\.css)"')
_LAZY = re.compile(r'\bmodule: "(\w+)"(?!,[^{}]*\bwhenSeen\b)')
"""What is loaded only once it is scrolled to is not the page's yet."""
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
    code = "".join((folder / name).read_text() for name in taken if not name.startswith("/"))
    modules = [name if name.startswith("/") else ROOT + name for name in taken]
    styles = [found or ROOT + own for own, found in _STYLED.findall(code)]
    links = [f'<link rel="preload" as="style" href="{each}">\n' for each in dict.fromkeys(styles)]
    links += [f'<link rel="modulepreload" href="{each}">\n' for each in modules]
    text = text.replace("</head>", "".join(links) + "</head>")
    return text.replace(f'"{ROOT}', f'"{ROOT}{version}/').encode()


def needed_by(folder: Path, page: str) -> list[str]:
    """All that the page of that name takes from the start, in the order in which it is wanted.

    What it imports at once comes first, then all that its first part takes, then the next: the
    first is drawn while the others are on their way.

    Returns:
        Paths below the folder; of what was fetched by its hash, addresses.
    """
    found: dict[str, None] = {}
    for name in (_ENTRY, f"pages/{page}.mjs"):
        _take(found, folder, name)
    for name in list(found):
        for part in _LAZY.findall((folder / name).read_text()):
            _take(found, folder, f"parts/{part}.mjs")
    return list(found)


def _take(found: dict[str, None], folder: Path, name: str) -> None:
    """Add a module, and all that it imports, unless they are there."""
    wanted = [name]
    for each in wanted:  # which grows
        if each in found:
            continue
        found[each] = None
        if not each.startswith("/"):
            asked = _IMPORTED.findall((folder / each).read_text())
            wanted += [_from(folder, each, path) for path in asked]


def _from(folder: Path, module: str, path: str) -> str:
    """What a module means by a path."""
    if path.startswith("/"):
        return path
    return ((folder / module).parent / path).resolve().relative_to(folder.resolve()).as_posix()
