"""Which job: its folder below a namespace and a project."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sihl_api.record import RecordPaths, folder_of
from sihl_dashboard.records.errors import QueryError, printable

_FOLDER = re.compile(r"(.+)\.([^.]{1,8})", re.DOTALL)


@dataclass(frozen=True, order=True)
class JobRef:
    """A job's record, by the names of its folders.

    Raises:
        QueryError: a name that could lead elsewhere, or is no job's.
    """

    namespace: str
    project: str
    folder: str

    def __post_init__(self) -> None:
        check_name(self.namespace)
        check_name(self.project)
        check_name(self.folder)
        if not _FOLDER.fullmatch(self.folder):
            raise QueryError(
                f"{printable(self.folder)!r} is no job's folder: it is called like its job, a dot "
                "and the first eight characters of the job's uid"
            )

    @classmethod
    def of(cls, namespace: str, project: str, job: str, uid: str) -> JobRef:
        """A job's, by its name and its whole uid. Raises QueryError."""
        return cls(namespace, project, folder_of(job, uid))

    @property
    def job(self) -> str:
        """The job's name."""
        return self.folder.rpartition(".")[0]

    @property
    def uid(self) -> str:
        """The first eight characters of the job's uid."""
        return self.folder.rpartition(".")[2]

    def paths(self, prefix: str) -> RecordPaths:
        """Where its parts lie, in a store with that prefix."""
        return RecordPaths(prefix, self.namespace, self.project, self.job, self.uid)


def project_root(prefix: str, *names: str) -> str:
    """The folder of a namespace, or of a project in it, with a final slash.

    Raises:
        QueryError: a name that could lead elsewhere.
    """
    for name in names:
        check_name(name)
    return "".join(f"{part}/" for part in (prefix.strip("/"), *names) if part)


def check_name(name: str) -> None:
    """Refuse what is no name of one folder.

    Raises:
        QueryError: it is none.
    """
    if name in ("", ".", "..") or len(name) > 500 or "/" in name or not name.isprintable():
        raise QueryError(f"{printable(name)!r} is no name of a namespace, a project or a job")
