/**
 * How curves are looked at, and how the address spells it. Both pages with curves use the same
 * names, so that a link from one works on the other.
 *
 * @typedef {object} CurvesView
 * @property {"step"|"images"|"time"} axis
 * @property {number} smoothing in the axis' unit: what is older counts 1/e
 * @property {boolean} isLog
 * @property {boolean} ghosts whether what was superseded is shown
 * @property {string} metrics what metrics' names contain, words apart by blanks; "" is all
 * @property {number|null} first of what is to be seen of the axis; null is all
 * @property {number|null} last
 * @property {string[]} hidden jobs
 */

export const AXES = { step: "Step", images: "Images seen", time: "Time of learning" };

/**
 * @param {Object<string, string>} params of the address, by name
 * @returns {CurvesView}
 */
export function curvesViewOf(params) {
  const { axis } = params;
  const [first, last] = (params.zoom ?? "").split("~").map(finite);
  const isZoomed = first !== null && last != null && first < last;
  return {
    axis: Object.hasOwn(AXES, axis) ? axis : "step",
    smoothing: Math.max(0, finite(params.smooth) ?? 0),
    isLog: params.log === "1",
    ghosts: params.ghosts !== "0",
    metrics: params.metrics ?? "",
    first: isZoomed ? first : null,
    last: isZoomed ? last : null,
    hidden: (params.hidden ?? "").split(",").filter(Boolean),
  };
}

/**
 * The same as parameters for `setView`.
 * @param {CurvesView} view
 */
export function curvesParams(view) {
  const isZoomed = view.first !== null && view.last !== null;
  return {
    axis: view.axis === "step" ? null : view.axis,
    smooth: view.smoothing ? Number(view.smoothing.toPrecision(4)) : null,
    log: view.isLog,
    ghosts: view.ghosts ? null : "0",
    metrics: view.metrics,
    zoom: isZoomed ? `${rounded(view.first)}~${rounded(view.last)}` : null,
    hidden: view.hidden.join(","),
  };
}

/**
 * Whether a metric is one that the view wants.
 * @param {string} name
 * @param {string} wanted
 */
export function isWanted(name, wanted) {
  const lower = name.toLowerCase();
  return wanted
    .toLowerCase()
    .split(/\s+/)
    .filter(Boolean)
    .every((word) => lower.includes(word));
}

function finite(text) {
  const number = text === undefined || text === "" ? NaN : Number(text);
  return Number.isFinite(number) ? number : null;
}

const rounded = (number) => Number(number.toPrecision(7));
