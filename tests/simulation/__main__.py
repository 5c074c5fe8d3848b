"""`python -m tests.simulation`: many seeds on all cores; what is found is shrunk and told."""

from __future__ import annotations

import argparse
import functools
import logging
import multiprocessing
import os
import sys
import time

from tests.simulation.plan import drawn
from tests.simulation.promises import BrokenPromiseError
from tests.simulation.search import many, play, shrunk

_CHUNK = 50


def _chunk(first: int, deadline: float) -> tuple[int, list[tuple[int, str]]]:
    played, found = 0, []
    for seed, error in many(range(first, first + _CHUNK)):
        played += 1
        if error is not None:
            found.append((seed, _told(error)))
        if time.monotonic() > deadline:
            break
    return played, found


def _told(error: BrokenPromiseError) -> str:
    if error.plan is None:
        return str(error)
    plan, shortest = shrunk(error.plan)
    return f"{shortest}\n\n{plan}"


def main() -> int:
    """1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1_000_000, help="at most so many")
    parser.add_argument("--seconds", type=float, default=3600, help="and for at most so long")
    parser.add_argument("--seed", type=int, help="play this one alone, and tell its history")
    given = parser.parse_args()
    if given.seed is not None:
        logging.disable(logging.CRITICAL)
        print(drawn(given.seed))
        play(given.seed)
        print("every promise was kept")
        return 0
    began = time.monotonic()
    played, broken = 0, []
    with multiprocessing.Pool(os.cpu_count()) as pool:
        firsts = range(given.first, given.first + given.seeds, _CHUNK)
        chunk = functools.partial(_chunk, deadline=began + given.seconds)
        for count, found in pool.imap_unordered(chunk, firsts):
            played += count
            broken += found
            for seed, story in found:
                print(f"\nseed {seed}: {story}\n", flush=True)
            rate = played / (time.monotonic() - began) * 60
            print(f"\r{played:,} seeds, {rate:,.0f} a minute, {len(broken)} broken", end="")
    print()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
