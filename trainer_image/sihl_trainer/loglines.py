"""How a line of the log is spelled: with its time, by which a reader finds a moment of training."""

from __future__ import annotations

import logging
import time


def formatter() -> logging.Formatter:
    """`2026-01-02T03:04:05Z INFO what happened`."""
    made = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    made.converter = time.gmtime
    return made
