/**
 * How curves of one chart become paths: a line through the last value of each bucket, and the
 * band from least to greatest. Made here and not by uPlot's bands, which want three series a
 * curve: with fifty curves that is three times the work for each frame.
 */
import uPlot from "/assets/uplot/uPlot.esm.js";

/** Below this many values in sight a curve shows where its points lie. */
const FEW = 60;

/**
 * One curve as the chart draws it; arrays are as long as the grid's `x`, null is no point.
 * @typedef {object} Line
 * @property {string} job folder of its record
 * @property {string} label what people call it
 * @property {number|null} attempt whose it was, for what was superseded
 * @property {(number|null)[]} last
 * @property {(number|null)[]} min
 * @property {(number|null)[]} max
 * @property {(number|null)[]} clock seconds since 1970 at which a bucket's last point was written
 */

/**
 * A builder of paths for uPlot.
 * @param {Line} line
 * @param {() => boolean} hasBand whether the band is wanted too, asked at each drawing
 */
export function pathsOf(line, hasBand) {
  return (plot, seriesIndex, from, to) =>
    uPlot.orient(plot, seriesIndex, (_s, x, _y, scaleX, scaleY, toX, toY, left, top, width, height) => {
      const isLog = scaleY.distr === 3;
      const across = (index) => toX(x[index], scaleX, width, left);
      const up = (value) => toY(value, scaleY, height, top);
      return {
        stroke: lineThrough(line.last, from, to, isLog, across, up),
        fill: hasBand() ? bandOf(line, from, to, isLog, across, up) : null,
        clip: null,
        band: null,
        gaps: null,
        flags: 0,
      };
    });
}

function lineThrough(values, from, to, isLog, across, up) {
  const path = new Path2D();
  let isFirst = true;
  for (let index = from; index <= to; index++) {
    const value = values[index];
    if (value == null || (isLog && value <= 0)) continue;
    if (isFirst) path.moveTo(across(index), up(value));
    else path.lineTo(across(index), up(value));
    isFirst = false;
  }
  return path;
}

function bandOf(line, from, to, isLog, across, up) {
  const path = new Path2D();
  let isFirst = true;
  let isWide = false;
  for (let index = from; index <= to; index++) {
    const value = line.max[index];
    if (value == null || (isLog && value <= 0)) continue;
    isWide ||= value !== line.min[index];
    if (isFirst) path.moveTo(across(index), up(value));
    else path.lineTo(across(index), up(value));
    isFirst = false;
  }
  if (!isWide) return null;
  for (let index = to; index >= from; index--) {
    const value = line.min[index];
    if (value == null || (isLog && line.max[index] <= 0)) continue;
    path.lineTo(across(index), up(isLog && value <= 0 ? line.max[index] : value));
  }
  path.closePath();
  return path;
}

/**
 * Whether a curve shows its points: few of them lie in sight.
 * @param {(number|null)[]} values
 */
export function isSparse(values, from, to) {
  let count = 0;
  for (let index = from; index <= to; index++) {
    if (values[index] != null && ++count > FEW) return false;
  }
  return true;
}

/**
 * From the least to the greatest value in sight of what is shown; null where there is none.
 * @param {number[]} x
 * @param {Line[]} lines
 * @param {{first: number, last: number, isLog: boolean, isShown: (index: number) => boolean,
 *   hasBand: (index: number) => boolean}} sight
 * @returns {[number, number]|null}
 */
export function extent(x, lines, { first, last, isLog, isShown, hasBand }) {
  let low = Infinity;
  let high = -Infinity;
  const from = Math.max(0, lowerBound(x, first) - 1);
  const to = Math.min(x.length - 1, lowerBound(x, last));
  lines.forEach((line, index) => {
    if (!isShown(index)) return;
    const [lows, highs] = hasBand(index) ? [line.min, line.max] : [line.last, line.last];
    for (let at = from; at <= to; at++) {
      const [least, greatest] = [lows[at], highs[at]];
      if (least != null && least < low && !(isLog && least <= 0)) low = least;
      if (greatest != null && greatest > high && !(isLog && greatest <= 0)) high = greatest;
    }
  });
  return low <= high ? [low, high] : null;
}

/**
 * Where `wanted` would stand in rising numbers.
 * @param {number[]} sorted
 */
export function lowerBound(sorted, wanted) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The nearest index at or beyond `from` in a direction that holds a value, or null.
 * @param {(number|null)[]} values
 * @param {1|-1} direction
 */
export function nextValue(values, from, direction) {
  for (let index = from; index >= 0 && index < values.length; index += direction) {
    if (values[index] != null) return index;
  }
  return null;
}

/**
 * The index nearest to a place that holds a value, or null.
 * @param {(number|null)[]} values
 */
export function nearestValue(values, index) {
  for (let away = 0; away < values.length; away++) {
    if (values[index - away] != null) return index - away;
    if (values[index + away] != null) return index + away;
  }
  return null;
}
