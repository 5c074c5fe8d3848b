/** Axes of parallel coordinates: where on each of them a job's value lies. No page in it. */

const MOST_CATEGORIES = 20;
const LOG_RATIO = 50;

/**
 * @typedef {object} Axis
 * @property {string} path
 * @property {"number"|"category"} kind
 * @property {boolean} isLog
 * @property {boolean} isFlipped
 * @property {number} low of numbers
 * @property {number} high
 * @property {string[]} categories in order, from below
 */

/**
 * An axis for what jobs have at a path; null where it tells nothing: all have the same, or too
 * many different texts.
 * @param {string} path
 * @param {*[]} values
 * @param {{isFlipped?: boolean, isLog?: boolean}} [choice] undefined: as the values suggest
 * @returns {Axis|null}
 */
export function axisOf(path, values, choice = {}) {
  const known = values.filter((value) => value !== undefined && value !== null);
  const isFlipped = choice.isFlipped ?? false;
  if (known.length && known.every((value) => typeof value === "number")) {
    const low = Math.min(...known);
    const high = Math.max(...known);
    if (low === high) return null;
    const canLog = low > 0;
    return {
      path,
      kind: "number",
      low,
      high,
      isFlipped,
      categories: [],
      isLog: canLog && (choice.isLog ?? high / low >= LOG_RATIO),
    };
  }
  const categories = [...new Set(known.map(String))].sort(new Intl.Collator("en", { numeric: true }).compare);
  if (categories.length < 2 || categories.length > MOST_CATEGORIES) return null;
  return { path, kind: "category", low: 0, high: categories.length - 1, isLog: false, isFlipped, categories };
}

/**
 * Where a value lies, 0 below and 1 above; null where it has none.
 * @param {Axis} axis
 */
export function placeOn(axis, value) {
  if (value === undefined || value === null) return null;
  const at = axis.kind === "category" ? axis.categories.indexOf(String(value)) : Number(value);
  if (axis.kind === "category" && at < 0) return null;
  const scale = axis.isLog ? Math.log : (number) => number;
  const place = (scale(at) - scale(axis.low)) / (scale(axis.high) - scale(axis.low));
  if (!Number.isFinite(place)) return null;
  return axis.isFlipped ? 1 - place : place;
}

/**
 * The value of numbers at a place; the inverse of `placeOn`.
 * @param {Axis} axis
 * @param {number} place
 */
export function valueAt(axis, place) {
  const up = axis.isFlipped ? 1 - place : place;
  if (axis.isLog) return axis.low * (axis.high / axis.low) ** up;
  return axis.low + (axis.high - axis.low) * up;
}

/**
 * The conditions that a stretch of an axis is, as the server reads them.
 * @param {Axis} axis
 * @param {number} from a place
 * @param {number} to
 * @returns {string[]} empty where the stretch holds no category, or several, which cannot be asked for
 */
export function conditionsOf(axis, from, to) {
  if (axis.kind === "category") {
    const inside = axis.categories.filter((value) => {
      const place = placeOn(axis, value);
      return place >= Math.min(from, to) && place <= Math.max(from, to);
    });
    return inside.length === 1 ? [`${axis.path}:eq:${inside[0]}`] : [];
  }
  const ends = [valueAt(axis, from), valueAt(axis, to)].sort((a, b) => a - b);
  return [`${axis.path}:ge:${short(ends[0])}`, `${axis.path}:le:${short(ends[1])}`];
}

const short = (number) => Number(number.toPrecision(4));
