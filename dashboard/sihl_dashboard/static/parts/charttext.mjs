/** Words and numbers of charts. */
import { count, duration, integer, number } from "../format.mjs";

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

/** Seconds between ticks on the axis of time. */
export const timeSteps = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000,
  864000, 2592000,
];

/** Steps and images between ticks: there is nothing between two of them. */
export const wholeSteps = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((each) => each * 10 ** power)).flat();

/**
 * A place on the axis, as "step 1 200".
 * @param {number} x
 * @param {"step"|"images"|"time"} axis
 */
export function positionText(x, axis) {
  if (axis === "time") return duration(x);
  return axis === "step" ? `step ${integer(x)}` : count(Math.round(x), "image");
}

/**
 * A stretch of the axis, as "120 steps".
 * @param {number} width
 */
export function widthText(width, axis) {
  if (axis === "time") return duration(width);
  return count(Math.max(1, Math.round(width)), axis === "step" ? "step" : "image");
}

/**
 * Labels of the axis' ticks.
 * @param {(number|null)[]} ticks
 */
export function tickValues(ticks, axis) {
  return ticks.map((tick) => {
    if (tick == null) return "";
    if (axis === "time") return duration(tick);
    return tick >= 1e5 ? short.format(tick) : integer(tick);
  });
}

/**
 * What an answer of the server holds, as "12 000 points in 500 buckets".
 * @param {{points: number, buckets: number, gaps: number}} answer
 */
export function countsText({ points, buckets, gaps }) {
  const told = `${count(points, "point")} in ${count(buckets, "bucket")}`;
  return gaps ? `${told}; ${count(gaps, "value")} no number, so a gap` : told;
}

/** A metric's value. */
export const valueText = (value) => number(value);

/** Labels of the upright axis: round numbers, as short as they are. */
export function valueTicks(ticks) {
  return ticks.map((tick) => {
    if (tick == null) return "";
    const size = Math.abs(tick);
    if (size >= 1e5 || (size > 0 && size < 1e-3))
      return tick.toExponential().replace("e+", "e").replace(/-/g, "−");
    return String(Number(tick.toPrecision(6))).replace("-", "−");
  });
}
