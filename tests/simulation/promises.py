"""The promises that every history must keep, checked at each write of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sihl_operator.scheduling import POSITIONS
from sihl_operator.views import parse
from tests.simulation.cluster import Truth
from tests.simulation.plan import Plan
from tests.simulation.server import Raw, SimulatedServer
from tests.support.kstatus import Verdict, verdict, waited_for

TEAM = "team"
GRACE = 30.0
LIFE_SECONDS = 8.0
"""Of the jobs that are not kept for ever."""
FINAL = ("Succeeded", "Failed")
ACTIVE = ("Starting", "Running", "Stopping")
OTHERS = {
    "type": "example.com/Audited", "status": "Unknown", "reason": "NotYet", "message": "",
    "lastTransitionTime": "2027-01-15T08:00:00Z", "observedGeneration": 1,
}  # fmt: skip
"""A condition that is not the operator's: it has to stay as it is."""
_STOP_SECONDS = GRACE + 30.0
_STEADY_SECONDS = 25.0
_TOO_LATE, _START_SECONDS = ("StartTimeout", "PodNotCreated", "PodNotStarted"), 600.0
_LONGEST_BACKOFF = 22.0  # the settings' limit, as it is told
_TELLING_SECONDS = 15.0  # within which a place in line is told: every ten seconds, and slack
_SEEING_SECONDS = 20.0  # within which a status is of the spec as it is


class BrokenPromiseError(AssertionError):
    """A promise is broken; has the history that led there, and its plan."""

    plan: Plan | None = None


class Promises:
    """Sees every write at the moment at which it takes effect.

    Args:
        strict: No fault and no rude act has been or will be: also what needs a leader that sees
            the present must hold.
    """

    def __init__(
        self,
        server: SimulatedServer,
        truth: Truth,
        strict: bool,
        history: Callable[[], str],
    ) -> None:
        self.broken: BrokenPromiseError | None = None
        self.steady_since = server.clock()
        """Since when strict promises can be asked for: the calm that follows faults is such too."""
        self._server, self._truth, self._strict, self._history = server, truth, strict, history
        self._stirred = 0.0
        self._waits: dict[str, float] = {}  # by the job's uid: since when unchanged in line
        self._edits: dict[str, int] = {}  # by the job's uid: the version of its user's last change
        self._made: dict[str, int] = {}  # by the job's uid: the version that made it
        self._served: set[tuple[str, int]] = set()  # attempts that had a pod
        self._stops: dict[str, float] = {}  # by the job's uid: since when it is to stop
        self._held: dict[str, float] = {}  # by the job's uid: until when it backs off
        self._began: dict[str, float] = {}  # by the job's uid: since when it has its attempt
        self._unseen: dict[str, float] = {}  # by the job's uid: since when its spec is news
        server.observers.append(self._see)
        self._final: dict[str, float] = {}  # by the job's uid: since when it is final
        server.on_deletion = self.check_deletion
        server.on_expiry = self.check_expiry

    def calm(self) -> None:
        """No fault and no rude act will be any more."""
        self._strict = True
        self.steady_since = self._server.clock()

    def fail(self, what: str) -> None:
        """Raises BrokenPromiseError, also later: the operator may catch what is raised within."""
        if self.broken is None:
            self.broken = BrokenPromiseError(f"{what}\n{self._history()}")
        raise self.broken

    @property
    def _steady(self) -> bool:
        """Whether a leader that sees the present has had the time to act on it."""
        return self._strict and self._server.clock() > self.steady_since + _STEADY_SECONDS

    def _see(self, kind: str, before: Raw | None, after: Raw | None) -> None:
        if kind == "job":
            self._note(before, after)
            if before is not None and after is not None and "status" in after:
                self._check_job(before, after)
        elif kind == "pod" and before is None and after is not None:
            self._check_new_pod(after)

    def _note(self, before: Raw | None, after: Raw | None) -> None:
        """Since when what matters to order, positions and stops is as it is."""
        now = self._server.clock()
        told = [_told(raw) for raw in (before, after)]
        if told[0] != told[1]:
            self._stirred = now
            uid = (after or before or {})["metadata"]["uid"]
            self._waits[uid] = now
            if None in told or told[0][:3] != told[1][:3]:
                self._edits[uid] = self._server.version
        if before is None and after is not None:
            self._made[after["metadata"]["uid"]] = self._server.version
        if after is None:
            for noted in (self._stops, self._unseen):
                noted.pop((before or {})["metadata"]["uid"], None)
            return
        uid, phase = after["metadata"]["uid"], (after.get("status") or {}).get("phase")
        if phase in FINAL:
            self._final.setdefault(uid, now)
        else:
            self._final.pop(uid, None)
        self._hold(uid, before, after)
        if unseen(after):
            self._unseen.setdefault(uid, now)
        else:
            self._unseen.pop(uid, None)
        if unwanted(after) and phase in ACTIVE:
            self._stops.setdefault(uid, now)
        else:
            self._stops.pop(uid, None)

    def _hold(self, uid: str, before: Raw | None, after: Raw) -> None:
        """Until when a job backs off, whatever the clock says of the replica that wrote it."""
        old, new = ((raw or {}).get("status") or {} for raw in (before, after))
        self._held.setdefault(uid, 0.0)
        if new.get("phase") == "Stopped":
            self._held[uid] = 0.0  # once its user resumes it, it is tried at once
        if (until := new.get("retryAfter")) and until != old.get("retryAfter"):
            told = next(c for c in new["conditions"] if c["type"] == "Admitted")
            seconds = (parse(until) or 0.0) - (parse(told["lastTransitionTime"]) or 0.0)
            if not 1 <= seconds <= _LONGEST_BACKOFF:
                self.fail(f"{uid}: a backoff of {seconds:.0f} s")
            self._held[uid] = self._server.clock() + seconds - 1  # whole seconds are told

    # --- pods --------------------------------------------------------------------------------

    def _check_new_pod(self, pod: Raw) -> None:
        labels = pod["metadata"].get("labels")
        if labels is None:
            return
        if labels.get("app.kubernetes.io/managed-by") != "sihl-operator":
            self.fail(f"a pod without its mark: {labels}")
        queue, attempt = labels["sihl.ai/queue"], int(labels["sihl.ai/attempt"])
        for other in self._server.objects["pod"].values():
            if (
                other is not pod
                and other["metadata"].get("labels", {}).get("sihl.ai/queue") == queue
                and other["status"]["phase"] not in FINAL
            ):
                self.fail(f"two pods of the queue {queue} at once")
        job = self._server.objects["job"].get((TEAM, labels["sihl.ai/job"]))
        if job is None or job["metadata"]["uid"] != labels["sihl.ai/job-uid"]:
            return  # its user was quicker; the garbage collector sees to it
        if not pod["metadata"].get("ownerReferences"):
            self.fail("a pod that nobody owns would outlive its job")
        if attempt > (job.get("status") or {}).get("attempt", 0):
            self.fail(f"a pod of attempt {attempt}, which the job's status does not have")
        uid = job["metadata"]["uid"]
        if (uid, attempt) in self._truth.crashed:
            self.fail(f"attempt {attempt} of {uid} crashed, and runs again under its number")
        self._served.add((uid, attempt))

    def _pod_at_work(self, uid: str, attempt: int) -> bool:
        return any(
            (labels := pod["metadata"].get("labels"))
            and labels["sihl.ai/job-uid"] == uid
            and labels["sihl.ai/attempt"] == str(attempt)
            and pod["status"]["phase"] not in FINAL
            for pod in self._server.objects["pod"].values()
        )

    def check_deletion(self, pod: Raw, grace: int | None) -> None:
        """The operator deletes a pod: it may, if nobody needs the pod any more."""
        metadata = pod["metadata"]
        if "labels" not in metadata:
            self.fail("a pod that is not the operator's is deleted")
        if pod["status"]["phase"] in FINAL:
            return
        due = parse(metadata.get("deletionTimestamp"))
        if grace == 0 and (due is None or self._server.clock() < due):
            self.fail("a pod is forced away within its time to save")
        labels = metadata["labels"]
        job = self._server.objects["job"].get((TEAM, labels["sihl.ai/job"]))
        if due is not None or job is None or job["metadata"]["uid"] != labels["sihl.ai/job-uid"]:
            return
        status = job.get("status") or {}
        serves = str(status.get("attempt")) == labels["sihl.ai/attempt"]
        if serves and status.get("phase") in ("Starting", "Running"):
            self.fail(f"{labels['sihl.ai/job']}: its pod is deleted, and nobody wants that")

    def check_expiry(self, job: Raw) -> None:
        """The operator deletes a job: it may, once the job was final for as long as it says."""
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        life = job["spec"].get("ttlAfterFinished")
        if life is None or uid not in self._final:
            self.fail(f"{name}: deleted, and nobody asked for it")
        kept = self._server.clock() - self._final[uid]
        if kept < LIFE_SECONDS - 1e-3:
            self.fail(f"{name}: deleted {kept:.1f} s after its end, and not {life}")

    # --- jobs --------------------------------------------------------------------------------

    def _check_job(self, before: Raw, after: Raw) -> None:
        old, new = before.get("status") or {}, after["status"]
        if old is new:
            return
        name, uid = after["metadata"]["name"], after["metadata"]["uid"]
        phase, past, attempt = new.get("phase"), old.get("phase"), new.get("attempt", 0)
        self._check_numbers(name, uid, old, new)
        self._check_judged(name, old, after)
        resumed = past == "Failed" and phase == "Stopped" and "checkpoint" in old
        if past in FINAL and phase != past and not (resumed and after["spec"]["suspend"]):
            self.fail(f"{name}: {past} was not final")
        if phase == "Succeeded" and uid not in self._truth.succeeded:
            self.fail(f"{name}: Succeeded, and it did not")
        if phase == "Succeeded" and not new.get("model"):
            self.fail(f"{name}: Succeeded, and nobody is told where the model is")
        if phase == "Running" and (uid, attempt) not in self._truth.ran:
            self.fail(f"{name}: Running, and attempt {attempt} never ran")
        if phase in (*FINAL, "Stopped") and not _reason(new, "Accepted"):
            self.fail(f"{name}: {phase}, and was never accepted")
        if phase in ACTIVE and past not in ACTIVE:
            self._check_admission(before, after)
        if phase == "Stopped" and not unwanted(after):
            self.fail(f"{name}: Stopped, and nobody asked for it")
        if past in ACTIVE and phase not in ACTIVE:
            self._check_release(name, uid, past, new)
        if phase == "Failed" and past != phase:
            fatal = uid in self._truth.failed
            if not fatal and new.get("failures", 0) <= after["spec"]["runner"]["retries"]:
                self.fail(f"{name}: Failed, with retries left and nothing that is final")

    def _check_judged(self, name: str, old: Raw, after: Raw) -> None:
        """Whoever waits for the job reads what is so, of the spec as it is."""
        new, phase = after["status"], after["status"]["phase"]
        others = [[c for c in each.get("conditions") or () if c["type"] == OTHERS["type"]]
                  for each in (old, new)]  # fmt: skip
        if others[0] != others[1] or (others[1] and new["conditions"][-1:] != others[1]):
            self.fail(f"{name}: somebody else's condition does not stay as it was, and last")
        ours = [each for each in new["conditions"] if each not in others[1]]
        if any(each["observedGeneration"] != after["metadata"]["generation"] for each in ours):
            self.fail(f"{name}: a condition is of an older spec")
        ended = phase in (*FINAL, "Stopped")
        if waited_for(after, "Finished") != ended or (ended and _reason(new, "Finished") != phase):
            self.fail(f"{name}: {phase}, and Finished says otherwise")
        refused = misqueued(after) and phase in ("Queued", "Stopped")
        right = Verdict.FAILED if refused or phase == "Failed" else Verdict.CURRENT
        if "deletionTimestamp" in after["metadata"]:
            right = Verdict.TERMINATING
        answer, text = verdict(after)
        if answer is not right or (answer is Verdict.FAILED and not text):
            self.fail(f"{name}: {phase}, and whoever judges it takes it for {answer}: {text}")

    def _check_release(self, name: str, uid: str, past: str, new: Raw) -> None:
        phase, attempt = new["phase"], new["attempt"]
        if past != "Starting" and self._pod_at_work(uid, attempt):
            self.fail(f"{name}: {phase} while the pod of attempt {attempt} works")
        took = self._server.clock() - self._began[uid]
        if _reason(new, "Admitted") in _TOO_LATE and took < _START_SECONDS:
            self.fail(f"{name}: given back after {took:.0f} s as one that does not start")
        saved = _reason(new, "CheckpointSaved")
        if phase == "Stopped" and saved == "Saved" and (uid, attempt) not in self._truth.kept:
            self.fail(f"{name}: the stop saved nothing, and its status says that it did")

    def _check_numbers(self, name: str, uid: str, old: Raw, new: Raw) -> None:
        attempts = old.get("attempt", 0), new.get("attempt", 0)
        if attempts[1] < attempts[0]:
            self.fail(f"{name}: the attempt's number fell")
        steps = [(status.get("checkpoint") or {}).get("step", 0) for status in (old, new)]
        if steps[1] < steps[0]:
            self.fail(f"{name}: the checkpoint's step fell from {steps[0]} to {steps[1]}")
        if steps[1] > self._truth.saved.get(uid, 0):
            self.fail(f"{name}: a checkpoint that nobody wrote")
        failures = old.get("failures", 0), new.get("failures", 0)
        resumed = (old.get("phase"), new.get("phase")) == ("Failed", "Stopped")
        if failures[1] < failures[0] and not resumed:
            self.fail(f"{name}: failures were forgotten")
        if failures[1] > 2 and new.get("phase") != "Failed":
            self.fail(f"{name}: {failures[1]} failures, and its user allows two retries")
        ended = (uid, attempts[0])
        final = new.get("phase") == "Failed" and uid in self._truth.failed
        if (
            failures[1] > failures[0]
            and (ended in self._truth.ran or ended not in self._served)
            and ended not in self._truth.crashed
            and not final
        ):
            self.fail(f"{name}: attempt {attempts[0]} is counted as a failure, and did not fail")

    def _check_admission(self, before: Raw, after: Raw) -> None:
        old, new = before.get("status") or {}, after["status"]
        name, queue, now = after["metadata"]["name"], new["queue"], self._server.clock()
        self._began[after["metadata"]["uid"]] = now
        if new["phase"] != "Starting":
            self.fail(f"{name}: {new['phase']} out of {old.get('phase')}")
        if new.get("attempt", 0) != old.get("attempt", 0) + 1:
            self.fail(f"{name}: admitted without a new attempt")
        if unwanted(after):
            self.fail(f"{name}: admitted while suspended or deleted")
        if queue != wanted(after):
            self.fail(f"{name}: admitted to {queue}, and its user wants {wanted(after)}")
        if now < self._held[after["metadata"]["uid"]]:
            self.fail(f"{name}: admitted before its backoff was over")
        if not self._steady:
            return
        for other in self._server.objects["job"].values():
            status, uid = other.get("status") or {}, other["metadata"]["uid"]
            if other["metadata"]["name"] == name:
                continue
            if status.get("phase") in ACTIVE and status["queue"] == queue:
                self.fail(f"{name}: admitted beside {other['metadata']['name']}")
            # Seen by the leader: it has stood in line for a while, or stood as it stands before
            # this job, which the leader has seen, was made.
            stood = self._waits[uid] < now - 2 or (
                self._edits[uid] < self._made[after["metadata"]["uid"]]
            )
            if (
                stood
                and wanted(other) == queue
                and status.get("phase") in (None, "Queued")
                and not unwanted(other)
                and self._held[uid] < now - 2
                and rank(other) < rank(after)
            ):
                self.fail(f"{name}: admitted before {other['metadata']['name']}")

    # --- what only time shows ----------------------------------------------------------------

    def audit(self) -> None:
        """Call it now and then."""
        now = self._server.clock()
        if not self._steady:
            return
        for uid, since in self._stops.items():
            if now - max(since, self.steady_since) > _STOP_SECONDS:
                self.fail(f"{uid} was to stop {now - since:.0f} s ago")
        for uid, since in self._unseen.items():
            if now - max(since, self.steady_since) > _SEEING_SECONDS:
                self.fail(f"{uid} has changed {now - since:.0f} s ago, and its status is as of old")
        if now - max(self._stirred, self.steady_since) < _TELLING_SECONDS:
            return
        lines: dict[str, list[Raw]] = {}
        for job in self._server.objects["job"].values():
            if (job.get("status") or {}).get("phase") == "Queued" and not misqueued(job):
                lines.setdefault(wanted(job), []).append(job)
        for queue, waiting in lines.items():
            told = [job["status"].get("queuePosition") for job in sorted(waiting, key=rank)]
            if told != [n if n <= POSITIONS else None for n in range(1, len(told) + 1)]:
                self.fail(f"{queue}: the places in line are {told}")


def wanted(job: Raw) -> str:
    """The queue that a job's user wants."""
    annotations = job["metadata"].get("annotations") or {}
    return str(annotations.get("sihl.ai/queue") or job["spec"]["project"])


def misqueued(job: Raw) -> bool:
    """Whether that is no name of a queue."""
    return not wanted(job).islower()


def unseen(job: Raw) -> bool:
    """Whether its status is not of the spec as it is."""
    observed = (job.get("status") or {}).get("observedGeneration")
    return bool(observed != job["metadata"]["generation"])


def unwanted(job: Raw) -> bool:
    """Whether its user wants it stopped: suspended, or deleted and kept by a finalizer."""
    return bool(job["spec"]["suspend"]) or "deletionTimestamp" in job["metadata"]


def rank(job: Raw) -> tuple[int, float, str]:
    """A job's place among those of its queue."""
    created = parse(job["metadata"]["creationTimestamp"]) or 0.0
    return -job["spec"]["priority"], created, job["metadata"]["name"]


def _told(job: Raw | None) -> Any:
    if job is None:
        return None
    status = job.get("status") or {}
    return (
        job["metadata"]["uid"], job["spec"], (wanted(job), unwanted(job)), status.get("phase"),
        status.get("queue"), status.get("retryAfter"),
    )  # fmt: skip


def _reason(status: Raw, kind: str) -> str | None:
    conditions = status.get("conditions") or []
    return next((c["reason"] for c in conditions if c["type"] == kind), None)
