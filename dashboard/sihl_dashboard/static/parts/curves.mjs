/** All curves of some jobs: one chart a metric, drawn only while it is in view. */
import { get, pathOf } from "../api.mjs";
import { el, replace, stylesheet } from "../dom.mjs";
import { addKeys } from "../keys.mjs";
import { curvesBar } from "./curvesbar.mjs";
import { curvesCell } from "./curvescell.mjs";
import { curvesParams, curvesViewOf, isWanted } from "./curvesview.mjs";
import { legend } from "./legend.mjs";

const KINDS = { validation: "Validation", train: "Training" };
const HINTS = { higher: "higher is better", lower: "lower is better" };
/** A job writes each few seconds; more often than this nobody wants new points. */
const LIVE_MS = 2000;
const FOCUS_MS = 60;
const RETRY_MS = 3000;

/**
 * Draw the curves.
 * @param {HTMLElement} root
 * @param {object} given
 * @param {string} given.namespace
 * @param {string} given.project
 * @param {string[]} given.jobs folders of their records
 * @param {Object<string, string>} given.view the address' parameters by name, see curvesview.mjs
 * @param {(changes: object) => void} given.onView takes changes of them
 * @param {(point: {job: string, step: number|null, clock: number|null}) => void} [given.onPoint]
 * @param {import("../stream.mjs").Stream|null} [given.live] the tab's stream
 * @param {() => void} [given.onDrawn] called once something is to be seen, or nothing is to come
 * @returns {{update(props: object): void, destroy(): void}}
 */
export function curves(root, given) {
  let props = { ...given, view: curvesViewOf(given.view) };
  // A chart reads its colours from the sheet when it is made.
  const styled = Promise.all([
    stylesheet(import.meta.url, "../chart.css"),
    stylesheet(import.meta.url, "/assets/uplot/uPlot.min.css"),
  ]);
  const barRoot = el("div", {});
  const legendRoot = el("div", {});
  const note = el("p", { class: "curves-note", role: "status" });
  const body = el("div", { class: "curves-body" });
  const whole = el("div", { class: "curves" }, barRoot, legendRoot, note, body);
  root.append(whole);

  const cells = new Map();
  let names = null;
  let focused = null;
  let focusTimer = 0;
  let liveTimer = 0;
  let retry = 0;
  let asking = null;
  let watched = [];
  let watchedKey = "";

  const change = (changes) => props.onView(curvesParams({ ...props.view, ...changes }));
  const bar = curvesBar(barRoot, { view: props.view, onView: change, bounds: null });
  const jobs = legend(legendRoot, { ...props, focused, onHide: hide, onFocus: focus });

  const sight = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) cellOf(entry.target)?.setInView(entry.isIntersecting);
    },
    { rootMargin: "150px 0px" },
  );

  const cellOf = (element) => [...cells.values()].find((cell) => cell.element === element);

  function hide(job) {
    const { hidden } = props.view;
    change({ hidden: hidden.includes(job) ? hidden.filter((each) => each !== job) : [...hidden, job] });
  }

  function focus(job) {
    if (job === focused) return;
    focused = job;
    jobs.update({ focused });
    clearTimeout(focusTimer);
    focusTimer = setTimeout(() => cells.forEach((cell) => cell.focus(focused)), FOCUS_MS);
  }

  async function learn() {
    clearTimeout(retry);
    asking?.abort();
    const mine = (asking = new AbortController());
    if (!props.jobs.length) {
      names = { train: [], validation: [], better: {}, troubles: [] };
      render();
      return;
    }
    try {
      const found = await get(
        `${pathOf(props.namespace, props.project)}/metrics`,
        { jobs: props.jobs.join(",") },
        { signal: mine.signal },
      );
      await styled;
      if (mine.signal.aborted) return;
      names = found;
      render();
    } catch (error) {
      if (mine.signal.aborted) return;
      note.textContent = `${error.message} ${error.remedy ?? ""}`;
      if (error.passes) retry = setTimeout(learn, RETRY_MS * (1 + Math.random()));
    }
  }

  function wanted() {
    return Object.keys(KINDS).flatMap((kind) =>
      names[kind]
        .map((name) => (name.startsWith(`${kind}/`) ? name : `${kind}/${name}`))
        .filter((name) => isWanted(name, props.view.metrics)),
    );
  }

  function cellProps(metric) {
    const better = names.better[metric] ?? names.better[metric.slice(metric.indexOf("/") + 1)];
    return {
      ...props,
      metric,
      focused,
      hint: HINTS[better] ?? "",
      onZoom: (range) => change(range ?? { first: null, last: null }),
      onFocus: focus,
      onBounds: (bounds) => {
        bar.update({ bounds });
        props.onDrawn?.();
      },
    };
  }

  /** Which metrics there are decides the layout; what they show is each cell's. */
  function render() {
    if (!names) return;
    const metrics = wanted();
    note.textContent = noteText(metrics);
    if (note.textContent) props.onDrawn?.();
    const isSame = metrics.length === cells.size && metrics.every((metric) => cells.has(metric));
    if (!isSame) lay(metrics);
    for (const [metric, cell] of cells) cell.update(cellProps(metric));
  }

  function noteText(metrics) {
    if (!props.jobs.length) return "Choose jobs to see their curves.";
    const all = names.train.length + names.validation.length;
    if (!all) {
      const [trouble] = names.troubles;
      return trouble ? `No metrics: ${trouble.where}: ${trouble.what}.` : "No metrics yet.";
    }
    return metrics.length ? "" : `None of ${all} metrics is called like that.`;
  }

  function lay(metrics) {
    const isFirst = !cells.size;
    for (const [metric, cell] of cells) {
      sight.unobserve(cell.element);
      if (!metrics.includes(metric)) {
        cell.destroy();
        cells.delete(metric);
      }
    }
    const sections = Object.entries(KINDS).map(([kind, title]) => {
      const here = metrics.filter((metric) => metric.startsWith(`${kind}/`));
      if (!here.length) return null;
      const grid = el("div", { class: "curves-grid" });
      for (const metric of here) {
        if (!cells.has(metric)) cells.set(metric, curvesCell(grid, cellProps(metric)));
        else grid.append(cells.get(metric).element);
      }
      return el("section", { class: "curves-section" }, el("h3", {}, title), grid);
    });
    replace(body, sections);
    for (const cell of cells.values()) sight.observe(cell.element);
    // Where each is, is told after the next layout: the first one's curves are on their way by then.
    if (isFirst) cells.values().next().value?.setInView(true);
  }

  function watch() {
    const key = props.jobs.join("\n");
    if (!props.live || key === watchedKey) return;
    watchedKey = key;
    watched.forEach((end) => end());
    watched = props.jobs.map((job) =>
      props.live.watch(`job:${props.namespace}/${props.project}/${job}`, changed),
    );
  }

  function changed() {
    liveTimer ||= setTimeout(() => {
      liveTimer = 0;
      learn();
      cells.forEach((cell) => cell.stale());
    }, LIVE_MS);
  }

  // Told here, heard by the chart that has the focus.
  const forget = addKeys("Charts", [
    { keys: "← →", label: "Along the curve; Page up and down by twenty, Home and End" },
    { keys: "↑ ↓", label: "To another curve" },
    { keys: "+ - 0", label: "Closer, wider, all of it; Shift and ← → move along" },
    { keys: "Enter", label: "To the log of that moment" },
  ]);
  learn();
  watch();

  return {
    update(next) {
      const before = props.jobs.join("\n");
      props = { ...props, ...next, view: next.view ? curvesViewOf(next.view) : props.view };
      bar.update({ view: props.view });
      jobs.update({ ...props, focused });
      if (props.jobs.join("\n") !== before) learn();
      render();
      watch();
    },
    destroy() {
      clearTimeout(focusTimer);
      clearTimeout(liveTimer);
      clearTimeout(retry);
      asking?.abort();
      sight.disconnect();
      watched.forEach((end) => end());
      forget();
      cells.forEach((cell) => cell.destroy());
      bar.destroy();
      whole.remove();
    },
  };
}
