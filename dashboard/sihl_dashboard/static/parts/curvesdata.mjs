/** What the server says of one metric, ready for a chart; and how much is asked for at a time. */
import { get, pathOf } from "../api.mjs";
import { lowerBound } from "./chartlines.mjs";
import { nameOfJob } from "./jobnames.mjs";

export const BUCKETS = 500;
/** Browsers hold six connections to a server open, and the tab's stream takes one. */
const MOST_AT_ONCE = 3;

/**
 * @typedef {import("./chartlines.mjs").Line} Line
 * @typedef {{x: number[], first: number, last: number, lines: Line[], points: number,
 *   buckets: number, gaps: number, troubles: {where: string, what: string}[]}} Drawn
 */

/**
 * Asks for one metric's curves.
 * @param {{namespace: string, project: string, jobs: string[]}} place
 * @param {string} metric
 * @param {import("./curvesview.mjs").CurvesView} view
 * @param {{first: number, last: number}|null} range null is all of the axis
 * @param {AbortSignal} signal
 * @returns {Promise<Drawn>}
 */
export async function askCurves(place, metric, view, range, signal) {
  const answer = await get(
    `${pathOf(place.namespace, place.project)}/curves`,
    {
      jobs: place.jobs.join(","),
      metrics: metric,
      axis: view.axis,
      buckets: BUCKETS,
      smoothing: view.smoothing || null,
      ghosts: view.ghosts ? 1 : 0,
      first: range?.first,
      last: range?.last,
    },
    { signal },
  );
  const { grid } = answer;
  return {
    x: grid.x,
    first: grid.first ?? grid.x[0] ?? 0,
    last: grid.last ?? grid.x[grid.x.length - 1] ?? 0,
    lines: [...answer.ghosts, ...answer.curves].map(lineOf),
    points: answer.points,
    buckets: answer.buckets,
    gaps: answer.gaps,
    troubles: answer.troubles,
  };
}

function lineOf({ job, attempt, last, min, max, clock }) {
  return { job, label: nameOfJob(job), attempt: attempt ?? null, last, min, max, clock };
}

/**
 * The finer answer for a stretch, put into the coarse one for all of it: whoever pans sees
 * something at once, whatever the server still has to say.
 * @param {Drawn} coarse
 * @param {Drawn} fine
 * @returns {Drawn}
 */
export function stitched(coarse, fine) {
  const before = lowerBound(coarse.x, fine.first);
  let after = lowerBound(coarse.x, fine.last);
  while (after < coarse.x.length && coarse.x[after] <= fine.last) after++;
  const key = (line) => `${line.job}\n${line.attempt ?? ""}`;
  const detail = new Map(fine.lines.map((line) => [key(line), line]));
  const none = new Array(fine.x.length).fill(null);
  const joined = (name, line) => [
    ...line[name].slice(0, before),
    ...(detail.get(key(line))?.[name] ?? none),
    ...line[name].slice(after),
  ];
  return {
    ...fine,
    first: coarse.first,
    last: coarse.last,
    x: [...coarse.x.slice(0, before), ...fine.x, ...coarse.x.slice(after)],
    lines: coarse.lines.map((line) => ({
      ...line,
      last: joined("last", line),
      min: joined("min", line),
      max: joined("max", line),
      clock: joined("clock", line),
    })),
  };
}

let running = 0;
const waiting = [];
/** Of several charts the first is drawn sooner if the server has nothing else to do. */
let isFirst = true;

const most = () => (isFirst ? 1 : MOST_AT_ONCE);

function begin() {
  if (running >= most()) return new Promise((go) => waiting.push(go));
  running++;
  return null;
}

function end() {
  running--;
  isFirst = !running && !waiting.length;
  while (waiting.length && running < most()) {
    running++;
    waiting.shift()();
  }
}

/**
 * Does a piece of work when its turn comes.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function inTurn(work) {
  await begin();
  try {
    return await work();
  } finally {
    end();
  }
}
