/** One metric's place among the curves: asks once it comes into view, and again when told. */
import { el } from "../dom.mjs";
import { chart } from "./chart.mjs";
import { countsText } from "./charttext.mjs";
import { askCurves, inTurn, stitched } from "./curvesdata.mjs";
import { labelsOf } from "./jobnames.mjs";

const RETRY_MS = 4000;

/**
 * @param {HTMLElement} root
 * @param {object} props the curves', with `metric`, `hint` and `focused`, `onZoom`, `onFocus` and `onBounds`
 * @returns {{update(props: object): void, stale(): void, focus(job: string|null): void, setInView(isInView: boolean): void,
 *   element: HTMLElement, destroy(): void}}
 */
export function curvesCell(root, props) {
  const note = el("p", { class: "chart-note", hidden: true });
  const element = el("div", { class: "curves-cell" });
  root.append(element);

  let isInView = false;
  let asked = "";
  /** Whether there are newer points than the answer that is on its way may have. */
  let isBehind = false;
  let current = null;
  let retry = 0;
  let coarse = null;
  let coarseKey = "";
  let drawn = null;
  /** What `drawn` answers: of another axis, say, it shows nothing that is wanted. */
  let drawnKey = "";
  let shown = null;
  let shownKey = "";

  const keyOf = ({ jobs, view }) => JSON.stringify([jobs, view.axis, view.smoothing, view.ghosts]);
  const rangeOf = ({ view }) =>
    view.first === null || view.last === null ? null : { first: view.first, last: view.last };

  async function ask(isAnew) {
    const key = keyOf(props);
    const range = rangeOf(props);
    const wanted = `${key}${JSON.stringify(range)}`;
    if (!isInView || (!isAnew && wanted === asked)) return;
    asked = wanted;
    isBehind = false;
    clearTimeout(retry);
    current?.abort();
    const mine = (current = new AbortController());
    element.setAttribute("aria-busy", "true");
    try {
      const found = await inTurn(() => answer(key, range, isAnew, mine.signal));
      if (mine.signal.aborted) return;
      drawn = found;
      drawnKey = key;
      props.onBounds({ first: drawn.first, last: drawn.last });
      show();
    } catch (error) {
      if (mine.signal.aborted) return;
      asked = "";
      complain(error);
      if (error.passes) retry = setTimeout(() => ask(true), RETRY_MS * (1 + Math.random()));
    } finally {
      if (current === mine) {
        current = null;
        element.removeAttribute("aria-busy");
        if (isBehind) stale();
      }
    }
  }

  /** Its jobs have new points. An answer that is on its way is waited for, however slow it is. */
  function stale() {
    isBehind = current !== null;
    if (isBehind) return;
    asked = "";
    if (isInView) ask(true);
    else coarseKey = "";
  }

  async function answer(key, range, isAnew, signal) {
    if (signal.aborted) throw signal.reason;
    if (isAnew || coarseKey !== key || !coarse) {
      coarse = await askCurves(props, props.metric, props.view, null, signal);
      coarseKey = key;
    }
    return range ? stitched(coarse, await askCurves(props, props.metric, props.view, range, signal)) : coarse;
  }

  function complain(error) {
    note.hidden = false;
    note.textContent = `${error.message} ${error.remedy ?? ""}`;
  }

  /** What of a chart is there before its curves are: the keyboard finds it, and it has its place. */
  function frameProps() {
    return {
      metric: props.metric,
      hint: props.hint,
      axis: props.view.axis,
      isLog: props.view.isLog,
      hidden: new Set(props.view.hidden),
      focused: props.focused,
      x: [],
      lines: [],
      bounds: { first: 0, last: 0 },
      sight: { first: 0, last: 0 },
      told: "",
      onZoom: props.onZoom,
      onPoint: props.onPoint,
      onFocus: props.onFocus,
    };
  }

  function chartProps() {
    const bounds = { first: drawn.first, last: drawn.last };
    const labels = labelsOf(props.jobs);
    const troubles = drawn.troubles.map((trouble) => `${trouble.where} ${trouble.what}`);
    return {
      ...frameProps(),
      x: drawn.x,
      lines: drawn.lines.map((line) => ({ ...line, label: labels.get(line.job) ?? line.label })),
      bounds,
      sight: rangeOf(props) ?? bounds,
      told: [countsText(drawn), ...troubles].join(". "),
    };
  }

  function show() {
    if (!drawn || !isInView || drawnKey !== keyOf(props)) return;
    note.hidden = true;
    const key = JSON.stringify([props.view, props.jobs, props.hint]);
    if (drawn === shown && key === shownKey) return;
    [shown, shownKey] = [drawn, key];
    picture.update(chartProps());
  }

  const picture = chart(element, frameProps());
  element.append(note);

  return {
    element,
    update(next) {
      props = { ...props, ...next };
      show();
      ask(false);
    },
    /** @param {string|null} job that the mouse or the keys are at */
    focus(job) {
      props = { ...props, focused: job };
      picture.focus(job);
    },
    stale,
    setInView(next) {
      if (next === isInView) return;
      isInView = next;
      if (isInView) {
        show();
        ask(false);
      } else {
        shown = null;
        picture.rest();
      }
    },
    destroy() {
      clearTimeout(retry);
      current?.abort();
      picture.destroy();
      element.remove();
    },
  };
}
