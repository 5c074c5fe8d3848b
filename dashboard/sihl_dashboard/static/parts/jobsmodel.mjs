/** A project's jobs as a table has them: columns, conditions, order and groups. No page in it. */
import { NONE, number, shortTime } from "../format.mjs";

/**
 * @typedef {string|number|boolean|null} Fact
 * @typedef {{job: string, values: Object<string, Fact>}} Row
 */

const METRIC = /^(?:validation|train)\//;
const METRIC_PART = /:(?:last|best|min|max|step)$/;
const SHOWN_AT_FIRST = 7;
/** Facts that differ always, and tell nothing of what was tried. */
const DULL = /^spec\.(?:priority|suspend|output|project|queue|training\.pictures)\b|(?:secret|uri|path)$/i;
const OF_DATA = /^data\.[^.]+\.images$/;

export const OPERATORS = {
  eq: "is",
  ne: "is not",
  lt: "<",
  le: "≤",
  gt: ">",
  ge: "≥",
  contains: "contains",
  exists: "exists",
};

/** Words that say nothing without the one before them. */
const GENERIC = new Set(["name", "type", "kind", "value", "enabled", "count"]);

/** Whether a path is a metric's value. */
export const isMetric = (path) => METRIC.test(path);

/** Metrics of validation among the columns, without their parts. */
export function metricsOf(columns) {
  return Object.keys(columns)
    .filter((path) => path.startsWith("validation/") && !METRIC_PART.test(path))
    .sort();
}

/**
 * The columns to begin with: how it stands, how good it is, and what was tried.
 * @param {Object<string, boolean>} columns by path, whether jobs differ in it
 * @returns {string[]}
 */
export function firstColumns(columns) {
  const settings = Object.keys(columns).filter(
    (path) => columns[path] && (path.startsWith("spec.") ? !DULL.test(path) : OF_DATA.test(path)),
  );
  const metrics = metricsOf(columns);
  const telling = metrics.filter((path) => !path.endsWith("loss"));
  return [
    "job.state",
    ...(telling.length ? telling : metrics).slice(0, 3),
    ...settings.sort(byTelling).slice(0, SHOWN_AT_FIRST - 2),
    "job.createdAt",
  ];
}

function byTelling(a, b) {
  const weight = (path) => (path.startsWith("spec.training") ? 0 : path.startsWith("spec.") ? 1 : 2);
  return weight(a) - weight(b) || a.length - b.length || (a < b ? -1 : 1);
}

/** What the server is asked for so that a column shows its metric's best or last value. */
export function askedPath(path, which) {
  return which === "last" && isMetric(path) && !METRIC_PART.test(path) ? `${path}:last` : path;
}

/** A path's last words, as many as say what it is and tell it apart from those beside it. */
export function labelOf(path, paths) {
  const words = path.replace(/^(job\..*)At$/, "$1").split(/(?<=[./])/);
  for (let count = 1; count < words.length; count++) {
    const label = words.slice(-count).join("");
    const isClear = paths.every(
      (each) => each === path || !(each.endsWith(`.${label}`) || each.endsWith(`/${label}`)),
    );
    if (isClear && (count > 1 || !GENERIC.has(label))) return label;
  }
  return path;
}

/**
 * A fact as a cell shows it.
 * @param {string} path
 * @param {Fact|undefined} value
 */
export function cellText(path, value) {
  if (value === undefined || value === null) return NONE;
  if (/At$/.test(path) && typeof value === "string") return shortTime(value);
  // A setting is shown as it was given, a measure to the digits that tell jobs apart.
  return typeof value === "number" && (isMetric(path) || path.startsWith("job."))
    ? number(value)
    : String(value);
}

/** A condition in words. */
export function conditionText(text) {
  const parts = text.split(":");
  for (let at = 1; at < parts.length; at++) {
    if (Object.hasOwn(OPERATORS, parts[at])) {
      const path = parts.slice(0, at).join(":");
      const value = parts.slice(at + 1).join(":");
      if (parts[at] === "exists") return `${path} ${value === "false" ? "is missing" : "is there"}`;
      return `${path} ${OPERATORS[parts[at]]} ${value}`;
    }
  }
  return text;
}

/**
 * Rows whose job is called like that, in the order that the server does not know.
 * @param {Row[]} rows
 * @param {{text: string, sort: string, chosenFirst: boolean, jobs: string[]|null}} view
 */
export function arranged(rows, { text, sort, chosenFirst, jobs }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter(({ job }) => words.every((word) => job.toLowerCase().includes(word)));
  if (sort.replace(/^-/, "") === "name") {
    const order = new Intl.Collator("en", { numeric: true });
    const sign = sort.startsWith("-") ? -1 : 1;
    found.sort((a, b) => sign * order.compare(a.job, b.job));
  }
  if (!chosenFirst || !jobs) return found;
  const chosen = new Set(jobs);
  return [...found.filter(({ job }) => chosen.has(job)), ...found.filter(({ job }) => !chosen.has(job))];
}

/**
 * Rows under the value that they have in common; without a path they stay as they are.
 * @param {Row[]} rows
 * @param {string|null} path
 * @param {Set<string>} folded groups whose jobs are not shown
 * @returns {({kind: "job", row: Row}|{kind: "group", key: string, value: Fact, rows: Row[]})[]}
 */
export function grouped(rows, path, folded) {
  if (!path) return rows.map((row) => ({ kind: "job", row }));
  const groups = new Map();
  for (const row of rows) {
    const value = row.values[path] ?? null;
    const key = JSON.stringify(value);
    if (!groups.has(key)) groups.set(key, { kind: "group", key, value, rows: [] });
    groups.get(key).rows.push(row);
  }
  return [...groups.values()].flatMap((group) => [
    group,
    ...(folded.has(group.key) ? [] : group.rows.map((row) => ({ kind: "job", row }))),
  ]);
}

/** The mean of a group's numbers in a column, or null. */
export function meanOf(rows, path) {
  const numbers = rows.map((row) => row.values[path]).filter((value) => typeof value === "number");
  return numbers.length ? numbers.reduce((sum, value) => sum + value, 0) / numbers.length : null;
}

/**
 * How a value stands to the baseline's, in a word; null where nobody can say.
 * @param {number} delta
 * @param {"higher"|"lower"|null|undefined} better
 */
export function verdict(delta, better) {
  if (!better || delta === 0) return null;
  return delta > 0 === (better === "higher") ? "better" : "worse";
}
