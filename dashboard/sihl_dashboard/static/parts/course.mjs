/** What a job did when: its attempts as stretches of time, each of one kind, in order. Nothing is drawn here. */

import { clock } from "../format.mjs";

/** The kinds, in the order of a job's life, in words. */
export const KINDS = {
  queued: "Queued",
  fetching: "Fetching data",
  preparing: "Preparing",
  training: "Training",
  stopping: "Stopping",
  stopped: "Stopped",
};

/**
 * @typedef {Object} Stretch
 * @property {string} kind of KINDS
 * @property {number} from seconds since 1970
 * @property {number} to
 * @property {?number} attempt null between them
 * @property {boolean} isOpen it goes on
 * @property {string} why ""
 */

/**
 * All that is known of a job's time.
 *
 * @param {Object} job as the server answers it: attempts, document, summary, live
 * @param {number} now seconds since 1970
 * @returns {Stretch[]}
 */
export function stretches(job, now) {
  const attempts = (job.attempts ?? []).filter((each) => clock(each.startedAt) !== null);
  const created = clock(job.live?.createdAt ?? job.document?.createdAt);
  const phase = job.live?.phase ?? null;
  const found = [];
  let free = created;
  let before = null;
  for (const [index, attempt] of attempts.entries()) {
    const started = clock(attempt.startedAt);
    if (free !== null && started > free) found.push(between(before, free, started));
    const next = attempts[index + 1];
    const end = endOf(attempt, next, job, phase, now);
    found.push(...within(attempt, started, end, isGoingOn(attempt, next, phase)));
    free = end;
    before = attempt;
  }
  if (free !== null && phase === "Queued" && now > free) {
    const waiting = between(before, free, now);
    found.push({ ...waiting, isOpen: true, why: job.live.message || job.live.reason || waiting.why });
  }
  return found;
}

function isGoingOn(attempt, next, phase) {
  return !next && !attempt.endedAt && ["Starting", "Running", "Stopping"].includes(phase);
}

/** An attempt that was killed told no end: it is known to have lasted until something else was told. */
function endOf(attempt, next, job, phase, now) {
  if (isGoingOn(attempt, next, phase)) return now;
  const told = clock(attempt.endedAt);
  if (told !== null) return Math.max(told, clock(attempt.startedAt)); // clocks jump
  const last = ["stoppingAt", "trainedAt", "fetchedAt", "startedAt"].map((name) => clock(attempt[name]))
    .find((time) => time !== null);
  const updated = clock(job.summary?.updatedAt);
  if (next) return Math.max(last, Math.min(clock(next.startedAt), updated ?? Infinity));
  return Math.max(last, updated ?? last);
}

function between(before, from, to) {
  const stopped = before?.reason?.startsWith("Stopped");
  return { kind: stopped ? "stopped" : "queued", from, to, attempt: null, isOpen: false,
    why: stopped ? "stopped as asked, then queued" : before ? `after ${endingOf(before)}` : "" };
}

function* within(attempt, started, end, isOpen) {
  const marks = [["fetching", started], ["preparing", clock(attempt.fetchedAt)],
    ["training", clock(attempt.trainedAt)], ["stopping", clock(attempt.stoppingAt)]]
    .filter(([, time]) => time !== null && time <= end);
  for (const [index, [kind, from]] of marks.entries()) {
    const isLast = index === marks.length - 1;
    const to = isLast ? end : marks[index + 1][1];
    yield { kind, from, to: Math.max(from, to), attempt: attempt.number, isOpen: isOpen && isLast,
      why: isLast && !isOpen ? endingOf(attempt) : "" };
  }
}

/** Why an attempt ended, as far as anybody told. */
export function endingOf(attempt) {
  if (attempt.reason) return attempt.reason;
  return attempt.endedAt ? "its end" : "an end that nobody told (killed, or its node lost)";
}

/** Seconds by kind, of those that there are. */
export function totals(all) {
  const found = {};
  for (const { kind, from, to } of all) found[kind] = (found[kind] ?? 0) + to - from;
  return Object.fromEntries(Object.keys(KINDS).filter((kind) => kind in found)
    .map((kind) => [kind, found[kind]]));
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200,
  86_400, 172_800, 604_800, 1_209_600, 2_592_000];

/** Round times of the viewer's own clock between two, at most so many. */
export function ticks(from, to, most) {
  const span = Math.max(to - from, 1);
  const every = STEPS.find((step) => span / step <= most) ?? Math.ceil(span / most / 2_592_000) * 2_592_000;
  const offset = new Date(from * 1000).getTimezoneOffset() * 60;
  const found = [];
  for (let at = Math.ceil((from - offset) / every) * every + offset; at <= to; at += every) found.push(at);
  return found;
}
