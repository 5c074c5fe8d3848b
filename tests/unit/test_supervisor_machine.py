"""What the supervisor decides, without a process, a store or a clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sihl_api.runtime import ExitCode, RecordReport, Result
from sihl_api.status import CheckpointStatus, ModelStatus
from sihl_trainer.errors import BadConfig, TrainerError, Unavailable
from sihl_trainer.supervisor.events import (
    Action,
    AlreadyComplete,
    AskWorkerToStop,
    BeginUpload,
    CheckpointDurable,
    Discard,
    Event,
    KillWorker,
    ModelDurable,
    PreparationFailed,
    Prepared,
    Standing,
    StartWorker,
    Stepped,
    StopRequested,
    Tick,
    Upload,
    UploadFailed,
    Validated,
    WorkerEnded,
    WorkerFailed,
    Written,
)
from sihl_trainer.supervisor.machine import (
    Deadlines,
    State,
    advance,
    is_over,
    stop_is_settled,
)
from sihl_trainer.supervisor.processes import MemoryKills, ended_for_memory
from sihl_trainer.supervisor.verdict import verdict

GRACE = 100.0
MODEL = ModelStatus(uri="s3://b/model", checksum="00")
CLEAN = WorkerEnded("exit code 0", clean=True)
KILLED = WorkerEnded("SIGKILL", clean=False, last_words="Traceback: it broke")


def checkpoint(step: int) -> CheckpointStatus:
    return CheckpointStatus(step=step, uri=f"s3://b/{step}", saved_at="2026-01-02T03:04:05Z")


def upload(step: int, model: bool = False, last: bool = False) -> Upload:
    return Upload(Path(f"/scratch/{'model' if model else step}"), step, model, last)


@dataclass
class Run:
    """A run that is told events at times, and what came of it."""

    state: State = field(default_factory=lambda: State(Deadlines.of(GRACE)))
    now: float = 0
    actions: list[Action] = field(default_factory=list)

    def tell(self, *told: Event, at: float | None = None) -> list[Action]:
        self.now = self.now if at is None else at
        new: list[Action] = []
        for event in told:
            self.state, actions = advance(self.state, event, self.now)
            new += actions
        self.actions += new
        return new

    @property
    def over(self) -> bool:
        return is_over(self.state, self.now)

    def end(self) -> tuple[ExitCode, Result]:
        assert self.over
        return verdict(self.state, GRACE)


def training(step: int = 10, standing: int | None = None) -> Run:
    run = Run()
    run.tell(Standing(checkpoint(standing) if standing else None), Prepared(), Stepped(step))
    return run


# --- start -----------------------------------------------------------------------------------


def test_the_worker_starts_from_what_was_prepared() -> None:
    run = Run()
    assert run.tell(Standing(checkpoint(5))) == []
    assert run.tell(Prepared(resume=Path("/r"))) == [StartWorker(Path("/r"), None)]


def test_a_job_that_an_earlier_attempt_finished_succeeds_without_training() -> None:
    run = Run()
    assert run.tell(AlreadyComplete(MODEL, 50, {"boxes/map": "0.6"})) == []
    code, result = run.end()
    assert code is ExitCode.SUCCEEDED
    assert (result.model, result.step, result.metrics) == (MODEL, 50, {"boxes/map": "0.6"})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadConfig("InitialModelMissing", "no job x"), ExitCode.BAD_CONFIG),
        (Unavailable("StoreUnavailable", "away"), ExitCode.UNAVAILABLE),
    ],
)
def test_what_prevents_the_start_is_the_result(error: TrainerError, code: ExitCode) -> None:
    run = Run()
    run.tell(PreparationFailed(error))
    assert run.end()[0] is code
    assert run.end()[1].reason == error.reason


# --- success ---------------------------------------------------------------------------------


def test_success_is_a_model_in_the_store_and_nothing_less() -> None:
    run = training()
    assert run.tell(Written(upload(20, model=True))) == [BeginUpload(upload(20, model=True))]
    run.tell(Validated({"boxes/map": "0.6"}), CLEAN)
    assert not run.over
    run.tell(ModelDurable(MODEL))
    code, result = run.end()
    assert (code, result.model) == (ExitCode.SUCCEEDED, MODEL)
    assert result.metrics == {"boxes/map": "0.6"}


def test_a_clean_end_without_model_is_no_success() -> None:
    run = training()
    run.tell(CLEAN)
    assert run.end()[0] is ExitCode.CRASHED


@pytest.mark.parametrize("ended", [CLEAN, KILLED])
def test_what_the_store_does_not_take_is_tried_for_as_long_as_nobody_stops_it(
    ended: WorkerEnded,
) -> None:
    run = training()
    last = upload(20, model=ended.clean)
    run.tell(Written(last), ended)
    while run.now < 7 * 86400:
        run.tell(UploadFailed("the store is away"))
        assert run.state.next_deadline - run.now <= 30
        assert run.tell(Tick(), at=run.state.next_deadline) == [BeginUpload(last)]
        assert not run.over
    run.tell(ModelDurable(MODEL) if ended.clean else CheckpointDurable(checkpoint(20)))
    assert run.end()[0] is (ExitCode.SUCCEEDED if ended.clean else ExitCode.CRASHED)


# --- uploads ---------------------------------------------------------------------------------


def test_one_folder_is_uploaded_at_a_time_and_then_deleted() -> None:
    run = training()
    assert run.tell(Written(upload(10))) == [BeginUpload(upload(10))]
    assert run.tell(Written(upload(20))) == []
    done = run.tell(CheckpointDurable(checkpoint(10)))
    assert done == [Discard(Path("/scratch/10")), BeginUpload(upload(20))]
    assert run.tell(CheckpointDurable(checkpoint(20))) == [Discard(Path("/scratch/20"))]
    assert run.state.checkpoint == checkpoint(20)


def test_of_those_that_wait_only_the_newest_is_kept() -> None:
    run = training()
    run.tell(Written(upload(10)), Written(upload(20)))
    assert run.tell(Written(upload(30))) == [Discard(Path("/scratch/20"))]
    assert run.tell(CheckpointDurable(checkpoint(10)))[-1] == BeginUpload(upload(30))


def test_a_failed_upload_is_tried_again_after_a_pause() -> None:
    run = training()
    run.tell(Written(upload(10)))
    assert run.tell(UploadFailed("away")) == []
    assert run.now < run.state.next_deadline < run.now + 5
    assert run.tell(Tick(), at=run.state.next_deadline) == [BeginUpload(upload(10))]


def test_while_the_store_is_away_the_newest_checkpoint_takes_the_place_of_the_older() -> None:
    run = training()
    run.tell(Written(upload(10)), UploadFailed("away"))
    assert run.tell(Written(upload(20))) == [Discard(Path("/scratch/10"))]
    assert run.tell(Tick(), at=run.state.next_deadline) == [BeginUpload(upload(20))]
    run.tell(Written(upload(30)))
    assert run.tell(UploadFailed("away")) == [Discard(Path("/scratch/20"))]
    assert run.tell(Tick(), at=run.state.next_deadline) == [BeginUpload(upload(30))]


def test_a_folder_that_is_told_twice_is_uploaded_once() -> None:
    run = training()
    assert run.tell(Written(upload(10)), Written(upload(10))) == [BeginUpload(upload(10))]
    assert run.tell(CheckpointDurable(checkpoint(10))) == [Discard(Path("/scratch/10"))]


def test_a_folder_that_is_damaged_on_this_machine_is_not_tried_again() -> None:
    run = training()
    run.tell(Written(upload(10)))
    assert run.tell(UploadFailed("torn", hopeless=True)) == [Discard(Path("/scratch/10"))]
    assert run.state.next_deadline == math.inf


# --- stop ------------------------------------------------------------------------------------


def test_a_stop_ends_with_the_checkpoint_that_the_worker_then_writes() -> None:
    run = training(step=12)
    assert run.tell(StopRequested()) == [AskWorkerToStop()]
    run.tell(Written(upload(12)), CLEAN)
    assert not run.over
    assert not stop_is_settled(run.state)
    run.tell(CheckpointDurable(checkpoint(12)))
    assert stop_is_settled(run.state)
    code, result = run.end()
    assert code is ExitCode.STOPPED
    assert result.checkpoint == checkpoint(12)


def test_a_second_request_changes_nothing() -> None:
    run = training()
    run.tell(StopRequested())
    before = run.state.next_deadline
    assert run.tell(StopRequested(), at=20) == []
    assert run.state.next_deadline == before


def test_a_worker_that_does_not_answer_is_killed_in_time_and_an_earlier_checkpoint_stands() -> None:
    run = training(step=12)
    run.tell(Written(upload(10)), CheckpointDurable(checkpoint(10)), Stepped(15), StopRequested())
    killed_at = run.state.next_deadline
    assert killed_at < 0.85 * GRACE
    assert run.tell(Tick(), at=killed_at) == [KillWorker()]
    run.tell(KILLED)
    code, result = run.end()
    assert code is ExitCode.STOPPED_WITHOUT_CHECKPOINT
    assert (result.reason, result.checkpoint) == ("CheckpointTimedOut", checkpoint(10))
    assert "stopGracePeriod" in result.message


def test_an_upload_that_takes_too_long_ends_before_the_kubelet_ends_it() -> None:
    run = training(step=12, standing=10)
    run.tell(StopRequested())
    run.tell(Written(upload(12)), CLEAN, at=5)
    assert not run.over
    run.tell(Tick(), at=run.state.next_deadline)
    assert run.now < GRACE
    code, result = run.end()
    assert (code, result.reason) == (ExitCode.STOPPED_WITHOUT_CHECKPOINT, "CheckpointTimedOut")
    assert result.checkpoint == checkpoint(10)


def test_a_stop_whose_checkpoint_the_store_refuses_tries_to_its_end_and_tells_what_is_lost() -> (
    None
):
    run = training(step=1009, standing=100)
    run.tell(StopRequested(), Written(upload(1009, last=True)), CLEAN)
    tries = 0
    while not run.over:
        run.tell(UploadFailed("store s3, bucket runs refused x (AccessDenied): correct the Secret"))
        began = run.tell(Tick(), at=run.state.next_deadline)
        tries += began.count(BeginUpload(upload(1009, last=True)))
    assert tries > 40  # of the hundred seconds that it has
    code, result = run.end()
    assert (code, result.reason) == (ExitCode.STOPPED_WITHOUT_CHECKPOINT, "RecordNotWritable")
    assert result.message == (
        "the checkpoint of step 1009 could not be saved: store s3, bucket runs refused x "
        "(AccessDenied): correct the Secret. The checkpoint of step 100 stands. What was learnt in "
        "steps 101 to 1009 is lost."
    )


def test_a_stop_whose_upload_hangs_blames_the_store_where_nothing_else_can_be_written() -> None:
    run = training(step=12)
    run.tell(StopRequested(), Written(upload(12, last=True)), CLEAN)
    run.tell(Tick(), at=run.state.next_deadline)
    away = RecordReport(writable=False, reason="StoreUnavailable", message="It does not answer.")
    for record, reason in ((None, "CheckpointTimedOut"), (away, "RecordNotWritable")):
        assert verdict(run.state, GRACE, record)[1].reason == reason
    assert (
        "It does not answer. There is no checkpoint" in verdict(run.state, GRACE, away)[1].message
    )


def test_a_stop_whose_checkpoint_is_taken_at_last_loses_nothing() -> None:
    run = training(step=12)
    run.tell(StopRequested(), Written(upload(12, last=True)), CLEAN, UploadFailed("refused"))
    assert run.tell(Tick(), at=run.state.next_deadline) == [BeginUpload(upload(12, last=True))]
    run.tell(CheckpointDurable(checkpoint(12)))
    assert run.end()[0] is ExitCode.STOPPED


def test_a_stop_before_the_record_is_read_waits_until_it_is() -> None:
    run = Run()
    assert run.tell(StopRequested()) == []
    assert not run.over
    run.tell(Standing(checkpoint(7)))
    assert run.end()[0] is ExitCode.STOPPED
    assert run.end()[1].checkpoint == checkpoint(7)


def test_a_stop_before_the_first_step_of_all_has_no_checkpoint_and_says_so() -> None:
    run = Run()
    run.tell(Standing(None), StopRequested())
    code, result = run.end()
    assert code is ExitCode.STOPPED_WITHOUT_CHECKPOINT
    assert (result.reason, result.checkpoint) == ("StoppedBeforeFirstStep", None)


def test_a_stop_before_the_store_answers_ends_in_time() -> None:
    run = Run()
    run.tell(StopRequested())
    run.tell(Tick(), at=run.state.next_deadline)
    assert run.now < GRACE
    assert run.end()[1].reason == "StoppedBeforeFirstStep"


def test_no_worker_starts_once_a_stop_was_asked_for() -> None:
    run = Run()
    run.tell(StopRequested(), Standing(None))
    assert run.tell(Prepared()) == []


def test_a_worker_that_is_still_loading_is_not_waited_for() -> None:
    run = Run()
    run.tell(Standing(checkpoint(7)), Prepared(resume=Path("/r")))
    assert run.tell(StopRequested()) == [KillWorker()]
    run.tell(KILLED)
    assert run.end()[0] is ExitCode.STOPPED
    assert run.end()[1].checkpoint == checkpoint(7)


def test_a_model_that_is_durable_before_the_stop_ends_is_a_success() -> None:
    run = training()
    run.tell(Written(upload(20, model=True)), CLEAN, StopRequested())
    assert not run.over
    run.tell(ModelDurable(MODEL))
    assert run.end()[0] is ExitCode.SUCCEEDED


def test_a_stop_at_once_kills_and_leaves() -> None:
    run = training()
    run.tell(StopRequested())
    assert run.tell(StopRequested(at_once=True)) == [KillWorker()]
    run.tell(KILLED)
    assert run.end()[0] is ExitCode.STOPPED_WITHOUT_CHECKPOINT


def test_a_worker_that_crashes_while_it_stops_is_a_stop_without_checkpoint() -> None:
    run = training(step=12, standing=10)
    run.tell(StopRequested(), KILLED)
    code, result = run.end()
    assert (code, result.reason) == (ExitCode.STOPPED_WITHOUT_CHECKPOINT, "CrashedWhileStopping")


def saved() -> Run:
    """A run whose stop has its checkpoint, and whose worker has not ended."""
    run = training(step=12)
    run.tell(StopRequested(), Written(upload(12, last=True)))
    run.tell(CheckpointDurable(checkpoint(12)), at=3)
    return run


@pytest.mark.parametrize(
    "ends",
    [
        [CLEAN],
        [KILLED],
        [WorkerEnded("SIGKILL", clean=False, out_of_memory=True)],
        [WorkerFailed(ExitCode.CRASHED, "Crashed", "while it closed"), KILLED],
    ],
)
def test_once_the_last_checkpoint_is_durable_it_counts_however_the_worker_ends(
    ends: list[Event],
) -> None:
    run = saved()
    run.tell(*ends)
    code, result = run.end()
    assert (code, result.reason) == (ExitCode.STOPPED, "Stopped")
    assert result.checkpoint == checkpoint(12)


def test_a_worker_that_does_not_end_after_its_last_checkpoint_is_not_waited_for() -> None:
    run = saved()
    killed_at = run.state.next_deadline
    assert killed_at <= 10
    assert run.tell(Tick(), at=killed_at) == [KillWorker()]
    run.tell(KILLED)
    assert run.end()[0] is ExitCode.STOPPED


def test_a_crash_after_a_periodic_checkpoint_of_the_last_known_step_is_no_saved_stop() -> None:
    run = training(step=12)
    run.tell(StopRequested(), Written(upload(12)), CheckpointDurable(checkpoint(12)), KILLED)
    assert run.end()[0] is ExitCode.STOPPED_WITHOUT_CHECKPOINT


# --- failure ---------------------------------------------------------------------------------


def test_a_crash_is_told_with_its_signal_its_last_words_and_what_stands() -> None:
    run = training(standing=10)
    run.tell(KILLED)
    code, result = run.end()
    assert (code, result.reason) == (ExitCode.CRASHED, "WorkerCrashed")
    assert "SIGKILL" in result.message
    assert "Traceback: it broke" in result.message
    assert result.checkpoint == checkpoint(10)


def test_a_checkpoint_that_was_written_before_the_crash_is_still_uploaded() -> None:
    run = training()
    run.tell(Written(upload(10)), KILLED)
    assert not run.over
    run.tell(CheckpointDurable(checkpoint(10)))
    assert run.end()[1].checkpoint == checkpoint(10)


@pytest.mark.parametrize(
    "code", [ExitCode.BAD_DATA, ExitCode.BAD_CONFIG, ExitCode.OUT_OF_MEMORY, ExitCode.CRASHED]
)
def test_what_the_worker_explains_is_the_result(code: ExitCode) -> None:
    run = training()
    run.tell(WorkerFailed(code, "ItsReason", "its message"), WorkerEnded("exit code 1", False))
    assert run.end()[0] is code
    assert run.end()[1].reason == "ItsReason"
    assert "its message" in run.end()[1].message


@pytest.mark.parametrize("explained", [[], [WorkerFailed(ExitCode.CRASHED, "Lost", "a loader")]])
def test_a_worker_that_the_kernel_ended_for_memory_is_told_what_to_change(
    explained: list[Event],
) -> None:
    run = training()
    run.tell(*explained, WorkerEnded("SIGKILL", clean=False, out_of_memory=True))
    code, result = run.end()
    assert (code, result.reason) == (ExitCode.OUT_OF_MEMORY, "OutOfMemory")
    for field_name in ("runner.resources.limits.memory", "training.batchSize", "inputSize"):
        assert field_name in result.message


@pytest.mark.parametrize("explained", [[], [WorkerFailed(ExitCode.CRASHED, "Lost", "a loader")]])
def test_a_worker_that_met_no_limit_of_its_own_is_told_as_ended_by_the_node(
    explained: list[Event],
) -> None:
    run = training(standing=10)
    run.tell(*explained, WorkerEnded("SIGKILL", clean=False, by_the_node=True))
    code, result = run.end()
    assert (code, result.reason) == (ExitCode.CRASHED, "NodeOutOfMemory")
    assert "step 10 stands" in result.message
    assert "limits.memory" not in result.message


_NONE, _SOME = MemoryKills(kills=1, limit_met=4), MemoryKills(True, 1, 4)


@pytest.mark.parametrize(
    ("before", "after", "killed", "whose"),
    [
        (_SOME, MemoryKills(True, 2, 5), True, "its own"),
        (_SOME, MemoryKills(True, 2, 5), False, "its own"),  # a loader's end, which ended others
        (_SOME, MemoryKills(True, 2, 4), True, "the node's"),  # its limit is beyond what there is
        (_NONE, MemoryKills(False, 2, 4), True, "the node's"),
        (_NONE, _NONE, True, "nobody's"),
        (_SOME, MemoryKills(True, 1, 9), True, "nobody's"),  # met, and memory was found
        (MemoryKills(True, 0), MemoryKills(True, 1), True, "its own"),  # cgroup v1
        (MemoryKills(False, 0), MemoryKills(False, 1), True, "the node's"),
        (MemoryKills(), MemoryKills(), True, "the node's"),
        (MemoryKills(), MemoryKills(), False, "nobody's"),
        (MemoryKills(True), MemoryKills(True), True, "nobody's"),
    ],
)
def test_whose_memory_ran_out_is_what_the_kernel_counts(
    before: MemoryKills, after: MemoryKills, killed: bool, whose: str
) -> None:
    verdicts = {"its own": (True, False), "the node's": (False, True), "nobody's": (False, False)}
    assert ended_for_memory(before, after, killed) == verdicts[whose]


# --- deadlines -------------------------------------------------------------------------------


@given(grace=st.floats(0.5, 1e6))
def test_the_worker_is_killed_before_we_leave_and_we_leave_before_we_are_killed(
    grace: float,
) -> None:
    deadlines = Deadlines.of(grace)
    assert 0 < deadlines.worker < deadlines.leave < grace


# --- any order of events ---------------------------------------------------------------------

STEPS = st.integers(1, 50)
ANY_EVENT: st.SearchStrategy[Event] = st.one_of(
    st.builds(Stepped, STEPS),
    st.builds(lambda step: Written(upload(step)), STEPS),
    st.builds(lambda step: Written(upload(step, model=True)), STEPS),
    st.builds(lambda step: Written(upload(step, last=True)), STEPS),
    st.just(StopRequested()),
    st.just(UploadFailed("away")),
    st.just(UploadFailed("torn", hopeless=True)),
    st.just(Tick()),
    st.just(CLEAN),
    st.just(KILLED),
    st.just(WorkerFailed(ExitCode.BAD_DATA, "Bad", "bad")),
    st.just(CheckpointDurable(checkpoint(0))),
)


@settings(max_examples=150)
@given(
    told=st.lists(st.tuples(ANY_EVENT, st.floats(0, 30)), max_size=40),
    standing=st.none() | STEPS,
)
def test_whatever_happens_promises_hold(
    told: list[tuple[Event, float]], standing: int | None
) -> None:
    run = training(standing=standing)
    uploading: Upload | None = None
    stopped_at: float | None = None
    written, last = 0, False
    durable: list[CheckpointStatus] = [checkpoint(standing)] if standing else []
    for event, pause in told:
        if run.over or (run.state.worker and isinstance(event, Written | Stepped | WorkerEnded)):
            break  # an ended worker says nothing more
        if last and isinstance(event, Written | Stepped):
            continue  # a worker learns nothing after its last checkpoint
        if isinstance(event, Written):
            written += 1  # a worker never writes into a folder that it has handed over
            told_upload = replace(event.upload, directory=Path(f"/scratch/{written}"))
            if last := told_upload.answers_stop:  # it holds all that was learnt
                told_upload = replace(told_upload, step=max(told_upload.step, run.state.step or 0))
            event = Written(told_upload)
        if isinstance(event, UploadFailed | CheckpointDurable):
            if uploading is None:
                continue
            if isinstance(event, CheckpointDurable):
                done = uploading
                event = (
                    ModelDurable(MODEL)
                    if done.is_model
                    else CheckpointDurable(checkpoint(done.step))
                )
                durable += [event.checkpoint] if isinstance(event, CheckpointDurable) else []
            uploading = None
        if isinstance(event, StopRequested) and stopped_at is None:
            stopped_at = run.now + pause
        for action in run.tell(event, at=run.now + pause):
            if isinstance(action, BeginUpload):
                assert uploading is None, "one upload at a time"
                uploading = action.upload
            if isinstance(action, Discard):
                assert uploading is None or action.directory != uploading.directory
    for _ in range(2000):
        if run.over:
            break
        if not run.state.stopping:  # a worker goes on, or an upload, for as long as it takes
            assert run.state.worker_running or run.state.uploads
            return
        for action in run.tell(Tick(), at=max(run.now, run.state.next_deadline)):
            if isinstance(action, BeginUpload):
                run.tell(UploadFailed("away"))
            if isinstance(action, KillWorker):
                run.tell(KILLED)
    code, result = run.end()
    if stopped_at is not None and run.now > stopped_at:
        assert run.now <= stopped_at + GRACE + 30  # 30 s: the longest pause between our events
    if code is ExitCode.STOPPED:
        assert result.checkpoint in durable
        assert result.checkpoint is not None
        assert result.checkpoint.step >= (result.step or 0)
    if code is ExitCode.SUCCEEDED:
        assert result.model == MODEL
    assert result.checkpoint is None or result.checkpoint in durable
    assert len(result.encode()) <= 4096
