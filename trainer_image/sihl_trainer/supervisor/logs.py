"""The supervisor's own log lines, beside the worker's: same console, same record."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sihl_trainer.loglines import formatter
from sihl_trainer.supervisor.output import Redactor


class RecordHandler(logging.Handler):
    """Hands on each line of the root logger while its context lasts, free of secrets."""

    def __init__(self, redactor: Redactor, sink: Callable[[bytes], None]) -> None:
        super().__init__(logging.INFO)
        self._redactor = redactor
        self._sink = sink
        self.setFormatter(formatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Hand on a record's lines."""
        for line in self.format(record).splitlines():
            self._sink(self._redactor.clean(line.encode()))

    def __enter__(self) -> Self:
        root = logging.getLogger()
        root.addHandler(self)
        root.setLevel(min(root.level or logging.INFO, logging.INFO))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        logging.getLogger().removeHandler(self)
