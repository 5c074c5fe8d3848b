from __future__ import annotations

from sihl_trainer.errors import Refused, Unavailable
from sihl_trainer.record.writable import Writable

REFUSED = Refused("StoreAccessRefused", "the store refused a/1 (AccessDenied): correct the Secret.")
AWAY = Unavailable("StoreUnavailable", "the store did not answer")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_said_before_anybody_wrote_and_then_that_it_can_be() -> None:
    record = Writable()
    assert record.report() is None
    record.wrote("checkpoints")
    assert (report := record.report()) is not None
    assert report.writable


def test_a_refusal_is_told_at_once_with_all_that_cannot_be_written_and_stands_as_it_was() -> None:
    record = Writable()
    record.failed("metrics and log", REFUSED)
    record.failed("checkpoints", REFUSED)
    report = record.report()
    assert report is not None
    assert (report.writable, report.reason) == (False, "StoreAccessRefused")
    assert report.message == (
        "Checkpoints and metrics and log cannot be written: the store refused a/1 (AccessDenied): "
        "correct the Secret."
    )
    record.failed("checkpoints", Refused("StoreAccessRefused", "the store refused a/2"))
    assert record.report() == report  # no news for each try


def test_what_one_can_write_does_not_hide_that_another_cannot() -> None:
    record = Writable()
    record.failed("checkpoints", REFUSED)  # as where a quota has room for a few lines
    record.wrote("metrics and log")
    assert (report := record.report()) is not None
    assert report.message.startswith("Checkpoints cannot be written")
    record.wrote("checkpoints")
    assert (report := record.report()) is not None
    assert report.writable


def test_a_store_that_is_away_for_a_blink_is_nobodys_business_and_for_longer_is_told() -> None:
    clock = Clock()
    record = Writable(clock)
    record.failed("metrics and log", AWAY)
    assert record.report() is None
    clock.now = 20
    record.failed("metrics and log", AWAY)
    assert (report := record.report()) is not None
    assert (report.writable, report.reason) == (False, "StoreUnavailable")


def test_a_store_that_says_nothing_is_told_before_it_is_given_up() -> None:
    clock = Clock()
    record = Writable(clock)
    record.trying("metrics and log")
    clock.now = 31
    assert (report := record.report()) is not None
    assert not report.writable
    record.wrote("metrics and log")
    assert (report := record.report()) is not None
    assert report.writable
