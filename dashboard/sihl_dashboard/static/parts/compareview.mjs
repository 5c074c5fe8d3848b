/**
 * What the compare page shows, as the address spells it; what concerns curves is in curvesview.mjs.
 *
 * @typedef {object} CompareView
 * @property {string[]|null} jobs folders of those chosen; null: nobody has chosen yet
 * @property {string|null} baseline folder; NONE for none; null: nobody has chosen yet
 * @property {string[]|null} columns paths of facts; null: those that tell most
 * @property {string} text that names contain
 * @property {string[]} where conditions, as the server reads them: path:operator:value
 * @property {string} sort a path, or "name"; with "-" before it the greatest first
 * @property {boolean} chosenFirst whether the jobs chosen stand above the others
 * @property {string|null} group a path
 * @property {"best"|"last"} which value of a metric counts
 * @property {string|null} metric that parallel coordinates end at
 * @property {Object<string, {isFlipped?: boolean, isLog?: boolean}>} axes how parallel coordinates
 *   show a path, where somebody has chosen
 * @property {number|null} step of the pictures
 */

/** The server draws a hundred; with more than fifty nobody sees anything. */
export const MOST_JOBS = 50;
/** Says that somebody chose nothing. */
export const NONE = "-";

/**
 * @param {URLSearchParams} params
 * @returns {CompareView}
 */
export function compareViewOf(params) {
  const step = params.get("step");
  return {
    jobs: params.has("jobs") ? listed(params.get("jobs")).slice(0, MOST_JOBS) : null,
    baseline: params.get("base"),
    columns: params.has("columns") ? listed(params.get("columns")) : null,
    text: params.get("q") ?? "",
    where: params.getAll("where"),
    sort: params.get("sort") ?? "-job.createdAt",
    chosenFirst: params.get("pin") === "1",
    group: params.get("group"),
    which: params.get("which") === "last" ? "last" : "best",
    metric: params.get("metric"),
    axes: axesOf(params.get("axes")),
    step: /^\d+$/.test(step ?? "") ? Number(step) : null,
  };
}

/**
 * Changes of it as parameters for `setView`.
 * @param {Partial<CompareView>} changes
 */
export function compareParams(changes) {
  const spelled = {
    jobs: (jobs) => ["jobs", jobs && (jobs.join(",") || NONE)],
    baseline: (folder) => ["base", folder],
    columns: (columns) => ["columns", columns && (columns.join(",") || NONE)],
    text: (text) => ["q", text],
    where: (where) => ["where", where],
    sort: (sort) => ["sort", sort === "-job.createdAt" ? null : sort],
    chosenFirst: (isFirst) => ["pin", isFirst],
    group: (path) => ["group", path],
    which: (which) => ["which", which === "last" ? which : null],
    metric: (metric) => ["metric", metric],
    axes: (axes) => ["axes", spelledAxes(axes)],
    step: (step) => ["step", step],
  };
  return Object.fromEntries(Object.entries(changes).map(([name, value]) => spelled[name](value)));
}

function listed(text) {
  return text.split(",").filter((each) => each && each !== NONE);
}

/** Such as "spec.training.seed~f,spec.training.batchSize~L": flipped, and not on a log scale. */
const LETTERS = { f: ["isFlipped", true], l: ["isLog", true], L: ["isLog", false] };

function axesOf(text) {
  return Object.fromEntries(
    listed(text ?? "").map((each) => {
      const at = each.lastIndexOf("~");
      const letters = [...each.slice(at + 1)].filter((letter) => Object.hasOwn(LETTERS, letter));
      return [each.slice(0, at), Object.fromEntries(letters.map((letter) => LETTERS[letter]))];
    }),
  );
}

function spelledAxes(axes) {
  return Object.entries(axes)
    .map(([path, choice]) => {
      const letters = Object.keys(LETTERS).filter(
        (letter) => choice[LETTERS[letter][0]] === LETTERS[letter][1],
      );
      return letters.length ? `${path}~${letters.join("")}` : "";
    })
    .filter(Boolean)
    .join(",");
}
