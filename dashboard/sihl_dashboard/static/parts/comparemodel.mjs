/** What the compare page shows, from what the server said and what the address says. No page in it. */
import { MOST_JOBS, NONE } from "./compareview.mjs";
import { nameOfJob } from "./jobnames.mjs";
import { arranged, askedPath, firstColumns, metricsOf } from "./jobsmodel.mjs";

/** So many curves show at first, where nobody has chosen yet. */
const FIRST_CHOSEN = 5;
const MOST_ROWS = 10_000;
const MOST_AXES = 7;
const IS_SETTING = /^(?:spec|data)\./;

/**
 * @typedef {object} Found
 * @property {import("./jobsmodel.mjs").Row[]} rows
 * @property {Object<string, boolean>} columns by path, whether jobs differ in it
 * @property {number} total
 *
 * @typedef {object} Comparison
 * @property {import("./jobsmodel.mjs").Row[]} rows as the table has them
 * @property {string[]} columns
 * @property {string[]} chosen folders
 * @property {string|null} baseline folder
 * @property {string|null} metric that parallel coordinates end at
 * @property {string[]} settings that they begin with
 */

/**
 * @param {Found} found
 * @param {import("./compareview.mjs").CompareView} view
 * @returns {Comparison}
 */
export function comparison(found, view) {
  const rows = arranged(found.rows, view);
  const chosen = view.jobs ?? foldersOf(rows).slice(0, FIRST_CHOSEN);
  const first = firstColumns(found.columns);
  const columns = view.columns ?? first;
  const metrics = metricsOf(found.columns);
  return {
    rows,
    columns,
    chosen,
    baseline: baselineOf(found.rows, view.baseline, chosen),
    metric: view.metric ?? metrics.find((path) => !path.endsWith("loss")) ?? metrics[0] ?? null,
    settings: unique([...columns, ...first])
      .filter((path) => IS_SETTING.test(path))
      .slice(0, MOST_AXES),
  };
}

/**
 * The oldest of the jobs chosen, until somebody chooses another, or none. Of those that were submitted
 * in one second, as a file of jobs is, the first by name.
 */
export function baselineOf(rows, wanted, chosen) {
  if (wanted) return wanted === NONE ? null : wanted;
  if (chosen.length < 2) return null;
  const madeAt = new Map(rows.map((row) => [row.job, row.values["job.createdAt"]]));
  const age = (job) => madeAt.get(job) ?? "~";
  const isBefore = (one, other) =>
    age(one) === age(other) ? nameOfJob(one) < nameOfJob(other) : age(one) < age(other);
  return chosen.reduce((oldest, job) => (isBefore(job, oldest) ? job : oldest));
}

/**
 * What the server is asked for.
 * @param {Comparison} shown
 * @param {import("./compareview.mjs").CompareView} view
 * @param {{isExport?: boolean}} [options] an export has the table's columns and no more
 */
export function questionOf(shown, view, { isExport = false } = {}) {
  const more = isExport ? [] : [view.group, "job.createdAt", shown.metric, ...shown.settings];
  const wanted = unique([...shown.columns, ...more].filter(Boolean));
  return {
    columns: wanted.map((path) => askedPath(path, view.which)).join(","),
    where: view.where,
    sort: view.sort.replace(/^-/, "") === "name" ? null : view.sort,
    limit: MOST_ROWS,
  };
}

/**
 * Columns without those that cannot be asked for: the address lists them with commas between.
 * @param {Object<string, boolean>} columns
 */
export function askable(columns) {
  return Object.fromEntries(Object.entries(columns).filter(([path]) => !path.includes(",")));
}

/** Jobs chosen once one is chosen, or is not any longer: the first ones leave where there are too many. */
export function withJob(chosen, job, isChosen) {
  const others = chosen.filter((each) => each !== job);
  return isChosen ? [...others, job].slice(-MOST_JOBS) : others;
}

/** Folders of rows, as many as can be compared. */
export function foldersOf(rows) {
  return rows.slice(0, MOST_JOBS).map((row) => row.job);
}

const unique = (list) => [...new Set(list)];
