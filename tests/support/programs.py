"""A PATH of a test's own, with stand-ins for programs that cannot run where tests do."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

PREAMBLE = """\
#!/bin/sh
PATH=/usr/bin:/bin
arguments="$*"
printf '%s\\n' "{name} $arguments" >> {log}
case "$arguments" in *"-f -") cat >> {log}; esac
"""


class Programs:
    """A folder of stand-ins, and what they were called with.

    Args:
        folder: Empty, the only one on the test's PATH.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bin"
        self.path.mkdir()
        self._log = folder / "calls"

    def add(
        self,
        name: str,
        answers: Mapping[str, str] | None = None,
        fails_at: tuple[str, ...] = (),
        really: Mapping[str, Path] | None = None,
    ) -> None:
        """A program that notes its arguments, and its input at `-f -`.

        Args:
            name: Its file's.
            answers: By words among its arguments, what it prints; the first that fits is taken.
            fails_at: At these words it prints "refused" and fails instead.
            really: By words among its arguments, the program that does what is asked.
        """
        acts = [(words, "echo refused >&2; exit 1") for words in fails_at]
        for words, program in (really or {}).items():
            acts.append((words, f'exec {shlex.quote(str(program))} "$@"'))
        for words, text in (answers or {}).items():
            acts.append((words, f"printf '%s' {shlex.quote(text)}; exit"))
        lines = [
            f'case " $arguments " in *{shlex.quote(f" {words} ")}*) {act};; esac\n'
            for words, act in acts
        ]
        file = self.path / name
        log = shlex.quote(str(self._log))
        file.write_text(PREAMBLE.format(name=name, log=log) + "".join(lines))
        file.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """Each call's program and arguments, as a line; lines of input follow their call's."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def called(self, start: str) -> list[str]:
        """The calls that start so."""
        return [call for call in self.calls if call.startswith(start)]
