"""The supervisor's own log lines, beside the worker's: same console, same record."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from sihl_trainer.loglines import formatter
from sihl_trainer.supervisor.output import Redactor


@contextlib.contextmanager
def recorded(
    redactor: Redactor, sink: Callable[[bytes], None], as_json: bool = False
) -> Iterator[None]:
    """Hands on each line of the root logger while the context lasts, free of secrets."""
    root, handler = logging.getLogger(), _LineHandler(redactor, sink, as_json)
    root.addHandler(handler)
    root.setLevel(min(root.level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        root.removeHandler(handler)


class _LineHandler(logging.Handler):
    def __init__(self, redactor: Redactor, sink: Callable[[bytes], None], as_json: bool) -> None:
        super().__init__(logging.INFO)
        self._redactor = redactor
        self._sink = sink
        self.setFormatter(formatter(as_json))

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            self._sink(self._redactor.clean(line.encode()))
