"""What the worker prints: to our own standard output and into the record, free of secrets."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import IO
from urllib.parse import quote

LAST_WORDS_LINES = 20
LAST_WORDS_CHARACTERS = 900
_LONGEST_LINE = 1 << 16
_MASK = b"[redacted]"


class Redactor:
    """Replaces secret values wherever they stand: as they are, quoted for a URL, or in JSON.

    Nothing here is meant to print them; this is for what prints more than it should.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: list[bytes] = []
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Replace these too: keys may be rotated while a job runs."""
        known = {s for s in secrets if s}
        quoted = {quote(s, safe="") for s in known} | {json.dumps(s)[1:-1] for s in known}
        forms = {form.encode() for form in known | quoted}
        self._forms = sorted({*self._forms, *forms}, key=len, reverse=True)

    def clean(self, line: bytes) -> bytes:
        """The line without secrets."""
        for form in self._forms:
            line = line.replace(form, _MASK)
        return line

    def clean_text(self, text: str) -> str:
        """The text without secrets."""
        return self.clean(text.encode()).decode(errors="replace")


class Tee:
    """Reads a stream to its end in a thread, and hands on each line.

    Args:
        stream: Binary.
        redactor: Takes secrets out.
        sinks: Each is given every line, without its newline.
    """

    def __init__(
        self, stream: IO[bytes], redactor: Redactor, sinks: Iterable[Callable[[bytes], None]]
    ) -> None:
        self._stream = stream
        self._redactor = redactor
        self._sinks = tuple(sinks)
        self._last: deque[bytes] = deque(maxlen=LAST_WORDS_LINES)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the stream's end, which a forgotten grandchild may hold open."""
        self._thread.join(seconds)

    @property
    def last_words(self) -> str:
        """The last lines, shortened from their beginning: an error's name stands at its end."""
        text = b"\n".join(self._last).decode(errors="replace")
        cut = len(text) - LAST_WORDS_CHARACTERS
        return text if cut <= 0 else f"...{text[cut:]}"

    def _run(self) -> None:
        for line in iter(lambda: self._stream.readline(_LONGEST_LINE), b""):
            # A progress bar overwrites itself with carriage returns: its last state is the line.
            clean = self._redactor.clean(line.rstrip(b"\r\n").rpartition(b"\r")[2])
            self._last.append(clean)
            for sink in self._sinks:
                sink(clean)
