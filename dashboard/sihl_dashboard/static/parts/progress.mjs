/** How far something is: a bar, and the figures beside it. */

import { el, styled, write } from "../dom.mjs";
import { bytes, duration, goSeconds, integer, NONE } from "../format.mjs";

/** A bar with its text; `update(progress)` as the cluster tells it, or null. */
export function progress(label) {
  const fill = el("span", { class: "fill" });
  const bar = el("span", { class: "bar", role: "progressbar", "aria-label": label,
    "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
  const text = el("span", { class: "num" });
  const node = el("span", { class: "progress" }, bar, text);
  return { node, update: (told) => show(bar, fill, text, told) };
}

function show(bar, fill, text, told) {
  const { fraction, words } = reached(told);
  bar.hidden = fraction === null;
  if (fraction !== null) {
    bar.setAttribute("aria-valuenow", Math.floor(fraction * 100));
    bar.setAttribute("aria-valuetext", words);
    styled(fill, { "--part": fraction });
  }
  write(text, words);
}

/**
 * @param {?Object} told step, maxSteps, percent, datasetBytes, datasetTotalBytes
 * @returns {{fraction: ?number, words: string}}
 */
export function reached(told) {
  if (told?.datasetTotalBytes && !told.step) {
    const here = told.datasetBytes ?? 0;
    return { fraction: Math.min(1, here / told.datasetTotalBytes),
      words: `${bytes(here)} of ${bytes(told.datasetTotalBytes)} fetched` };
  }
  if (told?.step !== null && told?.step !== undefined && told.maxSteps) {
    return { fraction: Math.min(1, told.step / told.maxSteps),
      words: `${integer(told.step)} of ${integer(told.maxSteps)}` };
  }
  return { fraction: null, words: told?.step ? integer(told.step) : "" };
}

/** The time left, in words; what the operator told as 1h2m. */
export function left(told) {
  const seconds = goSeconds(told?.remaining);
  return seconds === null ? NONE : duration(seconds);
}
