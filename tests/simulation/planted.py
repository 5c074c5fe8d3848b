"""Bugs, each a small patch to the operator: the simulation is as good as what it finds of them.

`python -m tests.simulation.planted NAME` plays seeds against the operator with that bug in it.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType


@dataclass(frozen=True)
class Bug:
    """In `sihl_operator.<module>`, what stands in place of `right`, which stands there once.

    `besides` has what the bug changes in other modules: their names, and the same. The search
    begins at `seed`, so that what few histories find is found at once; if none does any more, put
    the seed there that a search from 0 finds.
    """

    name: str
    module: str
    right: str
    wrong: str
    besides: tuple[tuple[str, str, str], ...] = ()
    seed: int = 0

    @property
    def changes(self) -> tuple[tuple[str, str, str], ...]:
        """All of it, each as (module, right, wrong)."""
        return (self.module, self.right, self.wrong), *self.besides


BUGS = (
    # --- who may run -------------------------------------------------------------------------
    Bug("pod-named-after-its-job", "pod", '"name": pod_name(queue),', '"name": f"{job.name}-r",'),
    Bug("pod-without-owner", "pod", '"ownerReferences": [', '"ownerReferences": [][:0] and ['),
    Bug("pod-before-status", "acts",
        "            job = await self._writes.status(job, say.starting(job, self._clock()))\n",
        "            from sihl_operator.pod import render_pod\n"
        "            await self._writes._api.create_pod(\n"
        "                render_pod(job, job.attempt + 1, job.wanted_queue, self._settings)\n"
        "            )\n"
        "            job = await self._writes.status(job, say.starting(job, self._clock()))\n"),
    Bug("attempt-not-raised", "status",
        "attempt = job.attempt + 1\n", "attempt = max(1, job.attempt)\n"),
    Bug("queue-free-while-admitting", "heads",
        "if queue.active or key in self._acts.starting.values():", "if queue.active:", seed=2572),
    Bug("capacity-counted-late", "occupancy",
        "room.promise(demand)  # promised room is taken room", "pass"),
    Bug("write-without-compare-and-swap", "writes",
        "job.namespace, job.name, job.resource_version, changes",
        "job.namespace, job.name, (await self._api.get_job(*job.key))['metadata']"
        "['resourceVersion'], changes"),
    Bug("edit-moves-a-running-job", "views.job",
        'return (self.active and self.stored_status.get("queue")) or self.wanted_queue',
        "return self.wanted_queue"),
    Bug("suspended-job-admitted", "queues",
        "        and not job.unwanted\n        and job.phase in", "        and job.phase in"),
    # --- order -------------------------------------------------------------------------------
    Bug("priority-ignored", "queues",
        "return -job.priority, job.created, job.name", "return 0, job.created, job.name"),
    Bug("last-in-first-out", "queues",
        "return -job.priority, job.created, job.name",
        "return -job.priority, -job.created, job.name"),
    Bug("places-counted-from-zero", "rounds",
        "enumerate(shown, start=1)", "enumerate(shown, start=0)"),
    Bug("backoff-ignored", "heads", " and not self._world.seen.backoff(job)\n", "\n"),
    Bug("second-overtakes-while-first-is-queued", "heads",
        "if self._may_start(job)), None)",
        "if job.phase is Phase.QUEUED and self._may_start(job)), None)"),
    # --- whose pod it is ---------------------------------------------------------------------
    Bug("earlier-attempt-taken-for-the-current", "views.pod",
        "self.job_uid == job.uid and self.attempt == job.attempt", "self.job_uid == job.uid"),
    Bug("namesakes-pod-taken-for-the-jobs", "views.pod",
        "self.job_uid == job.uid and self.attempt == job.attempt", "self.attempt == job.attempt"),
    Bug("deletion-taken-for-the-end", "views.pod",
        'return self.gone or self.phase in ("Succeeded", "Failed")',
        'return self.gone or self.deleting or self.phase in ("Succeeded", "Failed")'),
    Bug("running-before-it-runs", "lifecycle",
        "if pod is None or not pod.training:", "if pod is None or not pod.node:"),
    Bug("forced-away-within-its-grace", "lifecycle",
        "return pod.grace + settings.lost_node_timeout - ages.deleting",
        "return pod.grace - 25 - ages.deleting"),
    # --- whose clock it is -------------------------------------------------------------------
    Bug("grace-held-against-the-own-clock", "lifecycle",
        "if left > 0:\n        return Decision(after=left)",
        "if moment.now < pod.grace:\n        return Decision(after=pod.grace - moment.now)",
        besides=(("views.pod",
        'grace=float(metadata.get("deletionGracePeriodSeconds") or 0),',
        'grace=20 + (__import__("sihl_operator").views.parse('
        'metadata.get("deletionTimestamp")) or 0.0),'),)),
    Bug("backoff-held-against-the-own-clock", "heads",
        " and not self._world.seen.backoff(job)\n",
        " and (job.retry_after or '') <= "
        "__import__('sihl_api.times').times.rfc3339(self._acts._clock())\n"),
    # --- what the status says ----------------------------------------------------------------
    Bug("checkpoint-falls", "reports",
        "(old is not None and old.step >= new.step)", "(old is not None and old.step == new.step)"),
    Bug("stop-always-said-to-have-saved", "lifecycle",
        "saved = end.verdict is Verdict.STOPPED", "saved = True"),
    Bug("interruption-counted-as-failure", "retries",
        "if end.verdict is Verdict.FAILED:",
        "if end.verdict in (Verdict.FAILED, Verdict.INTERRUPTED):"),
    Bug("denied-pod-taken-for-the-jobs-fault", "refusals",
        'return Ending(Verdict.INTERRUPTED, "PodDenied",',
        'return Ending(Verdict.FATAL, "PodDenied",'),
    Bug("full-quota-counted", "refusals",
        'return Ending(Verdict.INTERRUPTED, reason,', 'return Ending(Verdict.FAILED, reason,'),
    Bug("lost-right-counted", "refusals",
        'return Ending(Verdict.INTERRUPTED, "OperatorForbidden",',
        'return Ending(Verdict.FAILED, "OperatorForbidden",'),
    Bug("refused-act-forgotten", "acts",
        "            await self._tell_lacking(key, error)\n            await self._rest(key)\n",
        "            self.resting.add(key)\n"),
    Bug("failure-is-final", "lifecycle",
        "    if end.verdict is Verdict.FATAL:\n        return failed(told, end, moment.now)",
        "    if end.verdict in (Verdict.FATAL, Verdict.FAILED):\n"
        "        return failed(told, end, moment.now)"),
    Bug("retries-without-end", "retries", "if failures > retries:", "if failures > 1000:"),
    Bug("failed-is-not-final", "idle",
        "if job.phase in (Phase.SUCCEEDED, Phase.FAILED):", "if job.phase is Phase.SUCCEEDED:"),
    Bug("eviction-taken-for-a-stop", "lifecycle",
        "    if job.unwanted:\n        return Decision(status=_stopped(told, pod, end, moment), ",
        "    if job.unwanted or end.verdict is Verdict.STOPPED:\n"
        "        return Decision(status=_stopped(told, pod, end, moment), "),
    Bug("deleted-job-trains-on", "views.job",
        "return self.suspend or self.deleting", "return self.suspend"),
    # --- what judges read --------------------------------------------------------------------
    Bug("edit-of-what-has-ended-unseen", "lifecycle",
        "if decision.status is not None or job.phase is None or job.orphaning:",
        "if decision.status is not None or job.phase.ended:"),
    Bug("conditions-of-the-last-spec", "judges",
        "if each.observed_generation == generation or not is_ours(each.type)", "if True"),
    Bug("others-condition-lost", "patches",
        'return {**changes, "conditions": [*ours, *others] or None}',
        'return {**changes, "conditions": ours or None}'),
    Bug("finished-though-it-was-resumed", "judges",
        'return with_condition(job, status, kind, False, "Resumed", "The job goes on.", now)',
        "return status"),
    Bug("stalled-though-it-was-resumed", "judges",
        "return without_condition(status, kind) if condition(status, kind) else status",
        "return status"),
    # --- what is forgotten -------------------------------------------------------------------
    Bug("resume-ignored", "idle",
        "return NOTHING if job.phase is Phase.STOPPED and job.unwanted else None",
        "return NOTHING if job.phase is Phase.STOPPED else None"),
    Bug("suspend-ignored-while-it-runs", "lifecycle",
        "if pod is None or not (job.unwanted or job.phase is Phase.STOPPING):",
        "if pod is None or job.phase is not Phase.STOPPING:"),
    Bug("freed-room-unnoticed", "rounds",
        "if not (asked or self.world.occupancy.changed):", "if not asked:", seed=449),
    Bug("vanished-pod-unnoticed", "world",
        "        if pod is not None and not pod.gone:\n            self.forget_pod(pod)",
        "        if pod is not None and not pod.gone:\n            pass"),
    Bug("stranger-remembered", "world",
        "        self._free_name(key)\n        pod = self.pods.get(key)",
        "        pod = self.pods.get(key)"),
    Bug("old-news-believed", "versions",
        "if version < known or (version == known and not deleted):", "if False:"),
    Bug("failed-write-not-tried-again", "acts",
        "            self._world.dirty.add(key)\n            self._ask_queue_of(key)\n",
        "            pass\n"),
    Bug("forgotten-watch-left-to-the-next-list", "reflector",
        'version, void = "", self._versions[kind]', 'version, void = "", ""', seed=27),
    Bug("deletion-taken-for-a-change", "reflector", 'event == "DELETED")', "False)"),
    Bug("timer-lost", "alarms", "heapq.heappush(self._timers, (when, subject))", "pass"),
    Bug("deleted-job-stays-in-line", "queues", "del queue.line[place]", "pass"),
)  # fmt: skip


class _Planter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the modules with the bug in them."""

    def __init__(self, bug: Bug) -> None:
        self._name = bug.name
        self._changes = {f"sihl_operator.{each[0]}": each for each in bug.changes}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._changes:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        where, right, wrong = self._changes[module.__name__]
        path = source_of(where)
        text = path.read_text().replace(right, wrong)
        exec(compile(text, f"{path} with {self._name}", "exec"), module.__dict__)


def source_of(module: str) -> Path:
    """A module's file."""
    package = importlib.util.find_spec("sihl_operator")
    assert package is not None and package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / f"{module.replace('.', '/')}.py"


def main() -> int:
    """0 if the bug is found, 1 if it is not."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planted", description=__doc__)
    parser.add_argument("name", choices=[bug.name for bug in BUGS])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--first", type=int, help="seed; by default where it is known to be found")
    given = parser.parse_args()
    bug = next(bug for bug in BUGS if bug.name == given.name)
    sys.meta_path.insert(0, _Planter(bug))
    from tests.simulation.search import many

    end = time.monotonic() + given.seconds
    for seed, error in many(itertools.count(given.first if given.first is not None else bug.seed)):
        if error is not None:
            print(f"{bug.name}: seed {seed}: {str(error).splitlines()[0]}")
            return 0
        if time.monotonic() > end:
            break
    print(f"{bug.name}: not found by seed {seed}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
