"""How benchmarks tell what they measured: on the terminal, and as JSON for the next comparison."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in info if "model name" in line), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "memory, GiB": round(memory, 1),
        "Linux": platform.release(),
    }


def tell(figures: dict[str, Any], to: Path | None) -> None:
    """Print figures; write them with the machine's to a file where one is given."""
    for name, value in figures.items():
        shown = f"{value:,.2f}" if isinstance(value, float) else str(value)
        print(f"{name:50} {shown:>14}")
    if to:
        to.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n")
