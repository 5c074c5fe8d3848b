/** Words and numbers of charts. */
import { count, duration, integer, number } from "../format.mjs";

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
 * What an answer of the server holds, as "12 000 points in 500 buckets".
 * @param {{points: number, buckets: number, gaps: number}} answer
 */
export function countsText({ points, buckets, gaps }) {
  const told = `${count(points, "point")} in ${count(buckets, "bucket")}`;
  return gaps ? `${told}; ${count(gaps, "value")} no number, so a gap` : told;
}

/** A metric's value. */
export const valueText = (value) => number(value);
