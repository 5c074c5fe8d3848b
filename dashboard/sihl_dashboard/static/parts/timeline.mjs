/** When a job did what, and why: attempts on the axis of time, and the same as tables. */

import { el, replace, svg, uniqueId } from "../dom.mjs";
import { clock, count, dateTime, duration, exactTime, integer, NONE, shortTime } from "../format.mjs";
import { setView } from "../view.mjs";
import { KINDS, stretches, ticks, totals } from "./course.mjs";

const HEIGHT = 58;
const TOP = 16;
const BAND = 22;
const HOLDS = { True: "yes", False: "no" };
const HALF_LETTER = 3.4; // pixels of an axis' text
const LEAST = 3; // pixels: what was short is seen all the same

/**
 * @param {HTMLElement} root
 * @param {{job: ?Object}} props the job as the server answers it; its folder's name before that
 */
export function timeline(root, props) {
  const picture = el("div", { class: "band" });
  const legend = el("ul", { class: "plain kinds" });
  const tables = el("div", {});
  let job = null;
  let drawn = "";
  replace(root, picture, legend, tables);
  const watcher = new ResizeObserver(draw);
  watcher.observe(picture);
  const timer = setInterval(() => !document.hidden && job?.live && draw(), 10_000);

  function draw() {
    if (!job) return;
    const now = Date.now() / 1000;
    const all = stretches(job, now);
    const width = picture.clientWidth;
    root.parentElement.hidden = !all.length && !job.conditions?.length;
    if (all.length && width) replace(picture, band(all, job, width));
    const sums = Object.entries(totals(all));
    replace(legend, sums.map(([kind, seconds]) => el("li", {},
      svg("svg", { width: 18, height: 12, "aria-hidden": "true" }, swatch(kind, 0, 0, 18, 12)),
      `${KINDS[kind]} `, el("span", { class: "num faint", text: duration(seconds) }))));
  }

  function update({ job: next }) {
    if (!next || typeof next !== "object") return;
    job = next;
    const key = JSON.stringify([job.attempts, job.conditions, job.document?.createdAt]);
    if (key !== drawn) {
      drawn = key;
      replace(tables, attemptsTable(job), conditionsTable(job.conditions ?? []));
    }
    draw();
  }

  update(props);
  return {
    update,
    destroy() {
      watcher.disconnect();
      clearInterval(timer);
    },
  };
}

function band(all, job, width) {
  // Clocks may jump back from one attempt to the next.
  const from = Math.min(...all.map((each) => each.from));
  const to = Math.max(...all.map((each) => each.to), from + 1);
  const x = (time) => ((time - from) / (to - from)) * (width - 2) + 1;
  const times = ticks(from, to, Math.max(2, Math.floor(width / 110)));
  const spelled = times.length > 1 && times[1] - times[0] < 60 ? exactTime : (time) => shortTime(time);
  return svg("svg", { width, height: HEIGHT, role: "img", "aria-label": told(all) },
    all.map((each) => stretch(each, x, width)),
    starts(all, job, x, width),
    marks(job.conditions ?? [], from, to, x),
    times.map((time) => [
      svg("line", { x1: x(time), x2: x(time), y1: TOP + BAND, y2: TOP + BAND + 5, class: "tick" }),
      label(spelled(time), x(time), width),
    ]));
}

/** Below its tick; at the picture's ends beside it, whole. */
function label(text, at, width) {
  const half = text.length * HALF_LETTER;
  return svg("text", { x: Math.min(Math.max(at, half), width - half), y: HEIGHT - 3, class: "tick" }, text);
}

function stretch(each, x, width) {
  const left = Math.min(x(each.from), width - LEAST);
  const size = Math.max(x(each.to) - left, LEAST);
  const words = `${KINDS[each.kind]}${each.attempt ? `, attempt ${each.attempt}` : ""}: ${
    duration(each.to - each.from)}${each.isOpen ? " so far" : ""}, from ${dateTime(each.from)}${
    each.why ? `; ${each.why}` : ""}`;
  const fits = size > KINDS[each.kind].length * 7.5 + 12;
  return svg("g", { class: `stretch ${each.kind}` }, svg("title", {}, words),
    swatch(each.kind, left, TOP, size, BAND),
    fits ? svg("text", { x: left + 7, y: TOP + BAND / 2 + 4.5, class: `in ${each.kind}` },
      KINDS[each.kind]) : null);
}

/** A field of a kind: told apart by its pattern, too. */
function swatch(kind, x, y, width, height) {
  const pattern = PATTERNS[kind];
  const id = pattern ? uniqueId("pattern") : null;
  return [
    pattern ? svg("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse" },
      svg("path", { d: pattern, class: "hatch" })) : null,
    svg("rect", { x, y, width, height, class: `field ${kind}` }),
    id ? svg("rect", { x, y, width, height, fill: `url(#${id})` }) : null,
  ];
}

const PATTERNS = {
  fetching: "M1 1h1.500v1.500h-1.500zM4 4h1.500v1.500h-1.500z",
  preparing: "M0 3h6",
  stopping: "M-1 1l2-2M0 6l6-6M5 7l2-2",
};

/** Above the band: which attempt begins, and from which step it went on. */
function starts(all, job, x, width) {
  let free = -Infinity;
  const found = [];
  for (const attempt of job.attempts ?? []) {
    const first = all.find((each) => each.attempt === attempt.number);
    if (!first) continue;
    const at = x(first.from);
    const words = attempt.resumedAtStep === null || attempt.resumedAtStep === undefined
      ? `Attempt ${attempt.number}` : `${attempt.number}, from step ${integer(attempt.resumedAtStep)}`;
    found.push(svg("line", { x1: at, x2: at, y1: TOP - 12, y2: TOP + BAND, class: "start" }));
    const size = words.length * 6.5 + 10;
    const isLeft = at + size > width;
    if (isLeft ? at - size > free : at > free) {
      found.push(svg("text", { x: isLeft ? at - 4 : at + 4, y: TOP - 4,
        class: isLeft ? "start before" : "start" }, words));
      free = isLeft ? at : at + size;
    }
  }
  return found;
}

/** On the band's edge: since when each condition is as it is. */
function marks(conditions, from, to, x) {
  return conditions.map((each) => [each, clock(each.lastTransitionTime)])
    .filter(([, time]) => time !== null && time >= from && time <= to)
    .map(([{ type, status, reason }, time]) => svg("path", { class: "mark",
      d: `M${x(time)} ${TOP + BAND - 5}l5 5l-5 5l-5-5z` },
    svg("title", {}, `${type} ${HOLDS[status] ?? "unknown"}: ${reason}, since ${dateTime(time)}`)));
}

function told(all) {
  const sums = Object.entries(totals(all)).map(([kind, seconds]) =>
    `${KINDS[kind].toLowerCase()} ${duration(seconds)}`);
  return `From ${dateTime(all[0].from)} to ${dateTime(all.at(-1).to)}: ${sums.join(", ")}. `
    + "The tables below tell each.";
}

function attemptsTable(job) {
  const attempts = job.attempts ?? [];
  if (!attempts.length) return null;
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Attempts" }, el("table", {},
    el("thead", {}, el("tr", {}, ["Attempt", "Began", "Fetching", "Training", "Steps", "Ended", "Why"].map(
      (text, index) => el("th", { scope: "col", class: index > 1 && index < 5 ? "num" : null, text })))),
    el("tbody", {}, attempts.map((each, index) => attemptRow(each, attempts[index - 1], attempts[index + 1])))));
}

function attemptRow(each, before, next) {
  const lapse = (from, to) => {
    const [a, b] = [clock(each[from]), clock(each[to])];
    return a === null || b === null ? NONE : duration(b - a);
  };
  const lost = before && each.firstStep !== null && before.lastStep > (each.resumedAtStep ?? 0)
    ? before.lastStep - (each.resumedAtStep ?? 0) : 0;
  const trained = next || each.stoppingAt || each.endedAt || !each.trainedAt
    ? lapse("trainedAt", each.stoppingAt ? "stoppingAt" : "endedAt") : `since ${shortTime(each.trainedAt)}`;
  return el("tr", {},
    el("th", { scope: "row" }, integer(each.number), " ", el("button", { type: "button", class: "quiet small",
      "aria-label": `Log of attempt ${each.number}`,
      onclick: () => toLog(each.number) }, "log")),
    el("td", { class: "time", text: dateTime(each.startedAt) }),
    el("td", { class: "num", text: lapse("startedAt", "fetchedAt") }),
    el("td", { class: "num", text: trained }),
    el("td", { class: "num" }, stepsOf(each),
      lost > 0 ? el("div", { class: "faint small", text: `${count(lost, "step")} done again` }) : null),
    el("td", { class: "time", text: each.endedAt ? dateTime(each.endedAt) : NONE }),
    el("td", { text: each.reason ?? (next ? "Nobody told: killed, or its node was lost" : "") }));
}

function stepsOf(each) {
  if (each.firstStep === null || each.firstStep === undefined) return NONE;
  const from = each.resumedAtStep ?? 0;
  return `${integer(from)} to ${integer(each.lastStep)}`;
}

function toLog(attempt) {
  setView({ attempt, at: null, line: null }, { push: true });
  document.getElementById("log")?.scrollIntoView({ block: "start" });
}

function conditionsTable(conditions) {
  if (!conditions.length) return null;
  const inTime = [...conditions].sort((a, b) =>
    (clock(a.lastTransitionTime) ?? 0) - (clock(b.lastTransitionTime) ?? 0));
  return el("details", { class: "conditions", open: true }, el("summary", { text: "Conditions" }),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Conditions" }, el("table", {},
      el("thead", {}, el("tr", {}, ["Since", "Condition", "Holds", "Reason", "Message"].map(
        (text) => el("th", { scope: "col", text })))),
      el("tbody", {}, inTime.map((each) => el("tr", {},
        el("td", { class: "time", text: dateTime(each.lastTransitionTime) }),
        el("th", { scope: "row", text: each.type }),
        el("td", { text: HOLDS[each.status] ?? "unknown" }),
        el("td", { text: each.reason }),
        el("td", { class: "message", text: each.message ?? "" })))))));
}

