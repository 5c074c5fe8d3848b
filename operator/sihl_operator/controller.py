"""The loop: take what changed, decide, act, again. Only the leader's runs.

Each job has at most one act under way. Everything that an act learns goes back into the world;
an act that fails half-way is taken up by the next round, of this operator or of the next leader.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections.abc import Callable, Collection, Coroutine
from decimal import Decimal
from typing import Any
from weakref import WeakKeyDictionary

from sihl_api.trainingjob import ConditionType, Phase, TrainingJobStatus
from sihl_operator import status as say
from sihl_operator.capacity import Room
from sihl_operator.decision import Decision, Deletion, Notice
from sihl_operator.endings import refusal
from sihl_operator.events import event_for
from sihl_operator.kube import (
    AlreadyExistsError,
    Api,
    ApiError,
    ConflictError,
    NotFoundError,
    UnavailableError,
)
from sihl_operator.lifecycle import Moment, decide, refused_by_api
from sihl_operator.metrics import Metrics
from sihl_operator.pod import demand, render_pod
from sihl_operator.queues import Queue, in_line
from sihl_operator.scheduling import POSITIONS, Verdict, admit
from sihl_operator.settings import Settings
from sihl_operator.views import JobView, Key, PodView, parse, pod_name, pod_view
from sihl_operator.world import World

log = logging.getLogger(__name__)

Reason = tuple[str, str]
"""Why a job waits: a condition's reason and message."""
Place = tuple[int | None, Reason]
"""A job's position, if it is among the first, and why it waits."""
Subject = tuple[str, Key]
"""What is to be decided anew at some time: a "job" or a "queue", and its key."""

_NOBODY = Queue()
_RETRY_SECONDS = 2.0
_TOGETHER_SECONDS = 0.005
"""What changes within this time is decided on together: a round costs more than an event."""
_REFRESHES_A_SECOND = 10.0
"""So many positions are written at most: with hundreds of queues the API server has other work."""
_OCCUPIED = ("WaitingForQueue", "Another job of the queue is active.")
_BEHIND = ("WaitingForQueue", "Other jobs of the queue come first.")
_NEXT = ("WaitingForQueue", "The job is the next of its queue.")
_LEFT = ("WaitingForPod", "The pod of the queue's last job has not ended yet.")
_TAKEN = ("PodNameTaken", "A pod that is not this operator's has the queue's pod name: delete it.")


class Controller:
    """Decides and acts.

    Args:
        world: What is known.
        api: The API server.
        settings: The operator's.
        metrics: Told what happened.
        clock: Seconds since 1970.
        entitled: Whether this replica holds the lead at this moment.
    """

    def __init__(
        self,
        world: World,
        api: Api,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float],
        entitled: Callable[[], bool],
    ) -> None:
        self.world = world
        self._began = False
        self._entitled = entitled
        self.heartbeat = clock()
        self._api = api
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._wake = asyncio.Event()
        self._busy: set[Key] = set()
        self._starting: dict[Key, Key] = {}
        """Jobs that are being admitted, and their queues: they hold both queue and room already."""
        self._short: set[Key] = set()
        """Queues whose next job did not start: asked again whenever room is given to another."""
        self._creating: set[tuple[str, int]] = set()
        self._resting: set[Key] = set()
        """Jobs whose act the API server refused: they hold up nobody until they are tried again."""
        self._settled: WeakKeyDictionary[JobView, Place] = WeakKeyDictionary()
        """Views of jobs that wait, and as whom: nothing is to be written for these."""
        self._outdated: WeakKeyDictionary[JobView, tuple[str, float]] = WeakKeyDictionary()
        """Views whose position is to be written at that time, if they wait for the same reason."""
        self._refreshed: dict[Key, float] = {}
        """When a job's position was written last."""
        self._slots: dict[Key, float] = {}
        """When a job's position is to be written; the next free slot stands beside."""
        self._next_slot = 0.0
        self._stopping: dict[Key, float] = {}
        self._timers: list[tuple[float, Subject]] = []
        self._alarms: dict[Subject, float] = {}
        """By job or queue, the first of its timers; the others are void."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def leading(self) -> bool:
        """Whether to act: asked before each round, since a process may sleep between two."""
        return self._began and self._entitled()

    def wake(self) -> None:
        """Something changed."""
        self._wake.set()

    def lead(self) -> None:
        """Begin to act: decide on everything."""
        self._creating.clear()
        self._stopping.clear()  # another leader may have seen the end of these
        self.world.touch_everything()
        self._began = True
        self.wake()

    def follow(self) -> None:
        """Stop acting."""
        self._began = False

    async def run(self) -> None:
        """Rounds for ever; between them, wait for a change or for something that is due."""
        while True:
            self.heartbeat = self._clock()
            try:
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
                await asyncio.sleep(_TOGETHER_SECONDS)
            except TimeoutError:
                pass
            self._wake.clear()
            if not self.leading:  # whoever begins to lead decides on everything
                self.world.dirty.clear()
                self.world.dirty_queues.clear()
                self._refreshed.clear()
                self._slots.clear()
                continue
            with self._metrics.decisions.time():
                try:
                    self.round()
                except Exception:
                    log.exception("a round of decisions failed; the next one starts afresh")
                    await asyncio.sleep(_RETRY_SECONDS)
                    self.world.touch_everything()
                    self.wake()

    def _pause(self) -> float:
        if not self._timers or not self.leading:  # whoever does not lead rings no timer
            return 10.0
        due = self._timers[0][0] - self._clock()
        return min(10.0, max(0.01, due))

    # --- deciding ----------------------------------------------------------------------------

    def round(self) -> None:
        """Decide on what changed and on what is due; start the acts."""
        now = self._clock()
        self._ring(now)
        dirty, self.world.dirty = self.world.dirty, set()
        queues, self.world.dirty_queues = self.world.dirty_queues, set()
        changed: dict[Key, set[Key]] = {queue: set() for queue in queues}
        for key in sorted(dirty):  # the same order always: a history can be played again
            job = self.world.jobs.get(key)
            if job is None:
                for known in (self._refreshed, self._slots, self._stopping):
                    known.pop(key, None)
                continue
            of_queue = changed.setdefault((job.namespace, job.queue), set())
            if in_line(job):
                of_queue.add(key)
            else:
                self._consider(job, now)
        if changed or self.world.room_changed:
            self.world.room_changed = False
            self._schedule(changed, now)

    def _ring(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            due, subject = heapq.heappop(self._timers)
            if self._alarms.get(subject) == due:
                del self._alarms[subject]
                what, key = subject
                (self.world.dirty if what == "job" else self.world.dirty_queues).add(key)

    def _schedule(self, changed: dict[Key, set[Key]], now: float) -> None:
        """Start the heads of free queues that have room, and tell the others why they wait.

        Args:
            changed: Queues to ask, each with those who wait in it and are not as they were.
            now: Seconds since 1970.
        """
        asked = changed | {queue: set() for queue in self._short - changed.keys()}
        heads: dict[Key, JobView] = {}
        reasons: dict[Key, Reason] = {}
        for key in sorted(asked):
            queue = self.world.queues.get(key, _NOBODY)
            reason = self._occupant(key, queue, now)
            first = next((job for job in queue.line if self._may_start(job, now)), None)
            if reason is None and first is not None:
                heads[key] = first
            else:
                reasons[key] = reason or _OCCUPIED
        verdicts = self._verdicts(heads.values(), now)
        self._short = {queue for queue, job in heads.items() if job.key not in self._starting}
        for key in sorted(asked):
            queue = self.world.queues.get(key, _NOBODY)
            self._tell(queue, asked[key], heads.get(key), verdicts, reasons.get(key, _BEHIND), now)

    def _may_start(self, job: JobView, now: float) -> bool:
        return job.key not in self._resting and job.retry_after <= now

    def _verdicts(self, heads: Collection[JobView], now: float) -> dict[Key, Verdict]:
        if not heads:
            return {}
        settings, others = self._settings, Decimal(0)
        if settings.autoscaler_max_gpus:
            others = self.world.held_by_others(settings.gpu_resource)
        room = Room(self.world.nodes, self.world.used(), others)
        for key in sorted({*self.world.queues.active(), *self._starting}):
            job = self.world.jobs.get(key)
            if job and self.world.pod_of(job) is None:
                room.promise(demand(job, settings))  # promised room is taken room
        for key in sorted(self.world.unbound):
            room.promise(self.world.unbound[key])
        verdicts = admit(heads, room, lambda job: demand(job, settings), now, settings)
        for verdict in verdicts:
            job = verdict.job
            if not verdict.admitted or job.phase is not Phase.QUEUED:
                continue  # who came first starts first, whichever write is answered first
            if job.key not in self._busy:  # else once that act ends
                self._starting[job.key] = (job.namespace, job.queue)
                self._spawn(job, self._start(job))
        return {verdict.job.key: verdict for verdict in verdicts}

    def _tell(
        self,
        queue: Queue,
        changed: set[Key],
        first: JobView | None,
        verdicts: dict[Key, Verdict],
        why: Reason,
        now: float,
    ) -> None:
        """Positions and reasons for those who wait; the rest of a long queue is left in peace."""
        if first is not None:
            why = _BEHIND
        shown = queue.line[:POSITIONS]
        for position, job in enumerate(shown, start=1):
            verdict = verdicts.get(job.key)
            reason = _BEHIND if why == _OCCUPIED and position > 1 else why
            if verdict is not None and verdict.admitted:
                if job.phase is Phase.QUEUED:
                    continue
                reason = _NEXT
            elif verdict is not None:
                reason = verdict.reason, verdict.message
                if job.created + self._settings.reserve_after > now:
                    self._at(job.created + self._settings.reserve_after, job.key)
            self._consider(job, now, (position, reason))
        for key in sorted((queue.placed | changed) - {job.key for job in shown}):
            self._consider(self.world.jobs[key], now, (None, _BEHIND))

    def _occupant(self, key: Key, queue: Queue, now: float) -> Reason | None:
        """Why a queue is not free, or None. A pod that serves no current attempt is sent away."""
        if queue.active or key in self._starting.values():
            return _OCCUPIED
        name = (key[0], pod_name(key[1]))
        if name in self.world.foreign:
            return _TAKEN
        pod = self.world.pods.get(name)
        if pod is not None and pod.kept:
            return _kept(pod)
        if pod is None or pod.ended:
            return None
        self._send_away(pod, key, now)
        return _LEFT

    def _send_away(self, pod: PodView, queue: Key, now: float) -> None:
        if pod.deleting:
            due = (pod.deletion_due or now) + self._settings.lost_node_timeout
            if now >= due:
                self._spawn_for(pod.key, self._delete(Deletion(*pod.key, pod.uid, 0)))
            else:
                self._at(due, queue, "queue")
        elif self.world.job_of(pod) is not None:  # one that is gone takes its pod along by itself
            self._spawn_for(pod.key, self._delete(Deletion(*pod.key, pod.uid, None)))

    def _consider(self, job: JobView, now: float, place: Place = (None, _OCCUPIED)) -> None:
        """Decide on one job and start what follows."""
        if job.key in self._busy or self._settled.get(job) == place:
            return
        position, reason = place
        why, until = self._outdated.get(job, ("", 0.0))
        if why == reason[0] and now < until:
            self._at(until, job.key)  # an earlier alarm may just have rung
            return
        if job.retry_after > now:
            reason = _as_told(job) or reason
        attempt, pod = (job.uid, job.attempt), self.world.pod_of(job)
        if pod is not None:  # created, whatever the answer was: never again under this number
            self._creating.discard(attempt)
        moment = Moment(now, self._settings, position, reason, attempt in self._creating)
        try:
            decision = decide(job, pod, moment)
        except Exception:  # one user's job must not hold up all others
            log.exception("%s/%s: cannot be decided on; trying again", *job.key)
            self._spawn(job, self._rest(job.key))
            return
        if decision.due is not None:
            self._at(decision.due, job.key)
        if decision.refresh:
            due = self._refresh_due(job.key, now)
            if now < due:
                self._at(due, job.key)
                if decision.due is None:
                    self._outdated[job] = (reason[0], due)
                return
            self._refreshed[job.key] = now
        if decision.status or decision.delete or decision.create:
            self._spawn(job, self._carry_out(job, decision))
        elif in_line(job) and decision.due is None:
            self._settled[job] = place

    def _refresh_due(self, key: Key, now: float) -> float:
        """When a job's position may be written: not before `position_interval`, then in turn."""
        due = self._refreshed.get(key, -math.inf) + self._settings.position_interval
        if now < due:
            return due
        if key not in self._slots:
            self._slots[key] = max(now, self._next_slot)
            self._next_slot = self._slots[key] + 1 / _REFRESHES_A_SECOND
        return self._slots.pop(key) if self._slots[key] <= now else self._slots[key]

    def _at(self, when: float, key: Key, what: str = "job") -> None:
        """Have a job or a queue decided on anew, at that time at the latest."""
        subject = what, key
        if when < self._alarms.get(subject, math.inf):
            self._alarms[subject] = when
            heapq.heappush(self._timers, (when, subject))

    # --- acting ------------------------------------------------------------------------------

    def _spawn(self, job: JobView, act: Coroutine[Any, Any, None]) -> None:
        self._spawn_for(job.key, act)

    def _spawn_for(self, key: Key, act: Coroutine[Any, Any, None]) -> None:
        if key in self._busy:
            act.close()
            return
        self._busy.add(key)
        task = asyncio.create_task(self._guarded(key, act))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, key: Key, act: Coroutine[Any, Any, None]) -> None:
        """An act, and what its failure costs: its job rests until it may be tried again."""
        try:
            await act
        except ConflictError:
            await self._reread(key)
        except NotFoundError:
            self.world.lose_job(key)
        except UnavailableError as error:
            log.warning("%s/%s: %s; trying again", *key, error)
            await asyncio.sleep(_RETRY_SECONDS)
        except ApiError as error:
            log.error("%s/%s: the API server refuses: %s", *key, error)
            await self._rest(key)
        except Exception:
            log.exception("%s/%s: acting failed; trying again", *key)
            await self._rest(key)
        finally:
            self._busy.discard(key)
            self.world.dirty.add(key)
            self._ask_queue_of(key)
            if (pod := self.world.pods.get(key)) is not None:  # an act on a pod in a queue's way
                self.world.dirty_queues.add((pod.namespace, pod.queue))

    async def _rest(self, key: Key) -> None:
        """Out of its line meanwhile, so that it holds up nobody."""
        self._resting.add(key)
        self._ask_queue_of(key)
        await asyncio.sleep(self._settings.retry_backoff)
        self._resting.discard(key)

    def _ask_queue_of(self, key: Key) -> None:
        job = self.world.jobs.get(key)
        if job is not None:
            self.world.dirty_queues.add((job.namespace, job.queue))
        self.wake()

    async def _reread(self, key: Key) -> None:
        try:
            raw = await self._api.get_job(*key)
        except NotFoundError:
            self.world.lose_job(key)
            return
        except ApiError as error:
            log.warning("%s/%s cannot be read: %s", *key, error)
            return
        known = self.world.jobs.get(key)
        if known is not None and known.uid == raw["metadata"]["uid"]:
            self.world.saw_job(raw)
        else:  # the watch tells of its namesake, after those who came before
            self.world.lose_job(key)

    async def _carry_out(self, job: JobView, decision: Decision) -> None:
        """Status first, then the pod: a crash between the two is harmless."""
        if decision.confirm_absent and await self._is_there(job, decision.confirm_absent):
            return
        if decision.status is not None:
            job = await self._write(job, decision.status)
        if decision.delete is not None:
            await self._delete(decision.delete)
        if decision.create:
            await self._create(job)
        if decision.notice is not None:
            await self._announce(job, decision.notice)

    async def _is_there(self, job: JobView, name: str) -> bool:
        """Ask the API server itself whether the attempt's pod is really absent."""
        try:
            raw = await self._api.get_pod(job.namespace, name)
        except NotFoundError:
            return False
        self.world.saw_pod(raw)
        found = pod_view(raw)
        return found.job_uid == job.uid and found.attempt == job.attempt

    async def _write(self, job: JobView, new: TrainingJobStatus) -> JobView:
        patch = say.merge_patch(job.stored_status, say.as_json(new))
        if not patch:
            return job
        raw = await self._api.patch_job_status(job.namespace, job.name, job.resource_version, patch)
        self.world.saw_job(raw)
        after = JobView(raw)
        if after.phase is Phase.STOPPING and job.phase is not Phase.STOPPING:
            self._stopping[job.key] = self._clock()
        since = self._stopping.get(job.key)
        self._metrics.moved(job, after, self._clock(), since)
        if not after.active:
            self._stopping.pop(job.key, None)
            self._creating.discard((job.uid, job.attempt))
            self._forget_gone(job)
        return after

    def _forget_gone(self, job: JobView) -> None:
        """A pod that is gone is remembered only until its job's status tells its end."""
        pod = self.world.pods.get((job.namespace, job.status.pod_name or ""))
        if pod is not None and pod.gone and pod.job_uid == job.uid:
            self.world.pods.pop(pod.key, None)

    async def _delete(self, deletion: Deletion) -> None:
        try:
            await self._api.delete_pod(
                deletion.namespace, deletion.name, deletion.uid, deletion.grace
            )
        except (NotFoundError, ConflictError):  # gone, or another pod has the name by now
            pod = self.world.pods.get((deletion.namespace, deletion.name))
            if pod is not None and pod.uid == deletion.uid and not pod.gone:
                self.world.forget_pod(pod)
            return
        if deletion.grace == 0:
            pod = self.world.pods.get((deletion.namespace, deletion.name))
            if pod is not None and pod.uid == deletion.uid and pod.phase in ("Succeeded", "Failed"):
                self.world.forget_pod(pod)

    async def _start(self, job: JobView) -> None:
        """Admit a job: its attempt's number by compare-and-swap, then its pod."""
        try:
            job = await self._write(job, say.starting(job, self._clock()))
        finally:
            # Asked whatever became of the job: one that was deleted meanwhile asks for nobody.
            self.world.dirty_queues.add(self._starting.pop(job.key))
        self._creating.add((job.uid, job.attempt))
        await self._create(job)

    async def _create(self, job: JobView) -> None:
        """Create the pod of the current attempt, or find out who has its name."""
        key = (job.namespace, pod_name(job.queue))
        if job.spec_fault:  # what was valid when it was admitted: the operator has been upgraded
            await self._refused(job, ApiError(422, "Invalid", job.spec_fault))
            return
        pod = render_pod(job, job.attempt, job.queue, self._settings)
        occupant = self.world.pods.get(key)
        if occupant is not None and occupant.ended and not occupant.gone:
            await self._delete(Deletion(*key, occupant.uid, 0))
        try:
            created = await self._api.create_pod(pod)
        except AlreadyExistsError:
            await self._name_taken(job, key)
            return
        except ConflictError:  # such as of two pods that a quota counts
            raise
        except UnavailableError as error:
            await self._not_created(job, error)
            return
        except ApiError as error:
            if error.status == 403 and "cannot create resource" in error.message:
                raise  # the operator's own permissions, as while an API server starts
            await self._refused(job, error)
            return
        self._created(job, created)

    def _created(self, job: JobView, raw: dict[str, Any]) -> None:
        self.world.saw_pod(raw)
        self._creating.discard((job.uid, job.attempt))

    async def _not_created(self, job: JobView, error: UnavailableError) -> None:
        """As where a webhook is away: told once it lasts, and asked less and less often."""
        log.warning("%s/%s: its pod is not created: %s", *job.key, error)
        lasts = self._clock() - (parse(job.status.started_at) or self._clock())
        if lasts >= self._settings.retry_backoff:
            text = (
                f"The API server does not create the pod ({error.message or error.reason}): "
                "it is asked again until spec.runner.startTimeout is over."
            )
            await self._write(job, say.start_problem(job, say.NOT_CREATED, text, self._clock()))
        longest = self._settings.unavailable_backoff
        await asyncio.sleep(min(longest, max(_RETRY_SECONDS, lasts / 4)))

    async def _name_taken(self, job: JobView, key: Key) -> None:
        """Somebody has the queue's pod name: what that means depends on whom it serves."""
        try:
            raw = await self._api.get_pod(*key)
        except NotFoundError:
            return  # it has just gone; the next round creates
        there = pod_view(raw)
        if there.job_uid == job.uid and there.attempt == job.attempt:
            self._created(job, raw)
            return
        self.world.saw_pod(raw)
        if not there.ours:
            await self._back_to_queue(job, *_TAKEN)
            return
        served = self.world.job_of(there)
        current = served is not None and served.active and served.attempt == there.attempt
        if current:
            await self._back_to_queue(job, *_OCCUPIED)  # two operators chose differently
        elif there.kept:
            await self._back_to_queue(job, *_kept(there))
        elif there.ended:
            await self._delete(Deletion(*key, there.uid, 0))  # the next round creates
        else:
            await self._back_to_queue(job, *_LEFT)

    async def _back_to_queue(self, job: JobView, reason: str, message: str) -> None:
        self._creating.discard((job.uid, job.attempt))
        await self._write(job, say.requeued(job, reason, message, self._clock()))

    async def _refused(self, job: JobView, error: ApiError) -> None:
        """The API server does not take the pod."""
        self._creating.discard((job.uid, job.attempt))
        moment = Moment(self._clock(), self._settings)
        decision = refused_by_api(job, refusal(error.status, error.message), moment)
        assert decision.status is not None
        await self._write(job, decision.status)
        if decision.notice is not None:
            await self._announce(job, decision.notice)

    async def _announce(self, job: JobView, notice: Notice) -> None:
        """A Kubernetes Event; without it nothing is lost."""
        try:
            await self._api.create_event(event_for(job, notice, self._clock()))
        except ApiError as error:
            log.warning("%s/%s: no event for %s: %s", *job.key, notice.reason, error)

    async def tell_progress(self, job: JobView, pod: PodView, report: Any) -> None:
        """Write what a pod said of its progress, if it is news."""
        if job.key in self._busy or not self.leading:
            return
        new = say.with_report(job, pod, report, self._clock())
        if say.as_json(new) != say.as_json(job.status):
            self._spawn(job, self._carry_out(job, Decision(status=new)))


def _kept(pod: PodView) -> Reason:
    """Why a pod that has ended, and was deleted, still has its name."""
    return "WaitingForPod", (
        f"The pod {pod.name} of the queue's last job has ended and was deleted, but is kept by its "
        f"finalizers: {', '.join(pod.finalizers)}. Whoever set them has to remove them."
    )


def _as_told(job: JobView) -> tuple[str, str] | None:
    """What a job that backs off was told: why its last attempt ended."""
    told = say.condition(job.status, ConditionType.ADMITTED)
    return (told.reason, told.message) if told else None
