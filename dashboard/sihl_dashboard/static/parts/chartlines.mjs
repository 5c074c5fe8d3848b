/** Where the values of curves lie: among each other, and within what is in sight. */

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
