"""`python -m gitops`: write the files of this folder that are made from others (`make gitops`)."""

from __future__ import annotations

from gitops import argo_cd, kustomize

MADE = {
    argo_cd.FOLDER / "argocd-cm.yaml": argo_cd.patch_text,
    kustomize.FOLDER / "base" / "sihl.yaml": kustomize.base,
}
"""File -> what makes its text."""


def main() -> None:
    """Write all of them."""
    for path, text in MADE.items():
        path.write_text(text())


if __name__ == "__main__":
    main()
