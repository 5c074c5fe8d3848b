from __future__ import annotations

import itertools
import threading

from sihl_trainer.recurring import Recurring
from tests.support.waiting import eventually


def test_work_recurs_until_it_is_closed_and_is_never_done_afterwards() -> None:
    done = itertools.count()
    times: list[int] = []
    with Recurring(lambda: times.append(next(done)), 0.001, name="work"):
        eventually(lambda: len(times) > 3)
    before = len(times)
    assert not any(thread.name == "work" for thread in threading.enumerate())
    assert len(times) == before


def test_a_pause_is_ended_by_closing_and_the_work_under_way_is_waited_for() -> None:
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        may_end.wait()
        ended.set()

    with Recurring(work, iter((0.0, 3600.0)).__next__, name="work"):
        began.wait()
        may_end.set()
    assert ended.is_set()


def test_what_was_never_begun_can_be_closed() -> None:
    Recurring(lambda: None, 0, name="work").close()
