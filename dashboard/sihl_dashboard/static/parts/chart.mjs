/** One metric of some jobs over steps, images or time: drawn by uPlot, read by mouse or keys. */
import uPlot from "/assets/uplot/uPlot.esm.js";
import { el } from "../dom.mjs";
import { pointer } from "./chartpointer.mjs";
import { cursorKeys } from "./chartkeys.mjs";
import { extent, isSparse, pathsOf } from "./chartpaths.mjs";
import { tip } from "./charttip.mjs";
import { tickValues, timeSteps, valueTicks } from "./charttext.mjs";
import { valuesTable } from "./chartvalues.mjs";
import { lookOf } from "./colours.mjs";

/** With more curves than this only the one in focus has a band: more would hide each other. */
const MOST_BANDS = 10;
const SETTLE_MS = 160;
const NEAR_PX = 30;
const dark = window.matchMedia("(prefers-color-scheme: dark)");

/**
 * @typedef {import("./chartpaths.mjs").Line} Line
 * @typedef {object} ChartProps
 * @property {string} metric
 * @property {string} hint what is better, or ""
 * @property {"step"|"images"|"time"} axis
 * @property {number[]} x where the grid's buckets lie
 * @property {Line[]} lines ghosts first, so that what counts lies above
 * @property {{first: number, last: number}} sight what is to be seen of x
 * @property {{first: number, last: number}} bounds all there is of x
 * @property {boolean} isLog
 * @property {Set<string>} hidden jobs
 * @property {string|null} focused job
 * @property {string} told how many points in how many buckets, and what went wrong
 * @property {(range: {first: number, last: number}|null) => void} onZoom null is all of it
 * @property {(point: {job: string, step: number|null, clock: number|null}) => void} [onPoint]
 * @property {(job: string|null) => void} onFocus
 */

/**
 * Draw a chart.
 * @param {HTMLElement} root
 * @param {ChartProps} props
 * @returns {{update(props: Partial<ChartProps>): void, destroy(): void}}
 */
export function chart(root, props) {
  const title = el("h4", { class: "chart-title" });
  const hint = el("span", { class: "chart-hint" });
  const box = el("div", { class: "chart-plot", tabindex: "0", role: "application" });
  box.setAttribute("aria-roledescription", "chart");
  const readout = el("p", { class: "chart-readout", "aria-live": "polite" });
  const told = el("p", { class: "chart-told" });
  const tableRoot = el("div", { class: "chart-values" });
  const figure = el("figure", { class: "chart" },
    el("figcaption", { class: "chart-head" }, title, hint), box, readout, told, tableRoot);
  root.append(figure);

  let plot = null;
  let shape = "";
  /** The range that a gesture under way has reached; the address and the server follow later. */
  let moving = null;
  let settle = 0;
  let frame = 0;
  const table = valuesTable(tableRoot, props);
  const bubble = tip(box);

  const isShown = (index) => !props.hidden.has(props.lines[index].job);
  const hasBand = (index) => {
    const line = props.lines[index];
    if (line.attempt !== null) return false;
    return props.lines.length <= MOST_BANDS || line.job === props.focused;
  };
  const sight = () => moving ?? props.sight;

  function zoom(range) {
    moving = range ?? props.bounds;
    plot?.setScale("x", { min: moving.first, max: moving.last });
    clearTimeout(settle);
    settle = setTimeout(() => {
      moving = null;
      props.onZoom(range);
    }, SETTLE_MS);
  }

  function point(index, at) {
    const line = props.lines[index];
    props.onPoint?.({
      job: line.job,
      step: props.axis === "step" ? Math.round(props.x[at]) : null,
      clock: line.clock?.[at] ?? null,
    });
  }

  const context = {
    get plot() { return plot; },
    get props() { return props; },
    isShown, sight, zoom, point,
    say(text) { readout.textContent = text; },
  };
  const keys = cursorKeys(box, context);
  const hands = pointer(context);

  function build() {
    plot?.destroy();
    const width = Math.max(200, box.clientWidth);
    plot = new uPlot(options(width), dataOf(props), box);
    bubble.attach(plot);
    hands.attach(plot.over);
  }

  function options(width) {
    const styles = getComputedStyle(root);
    const ink = styles.getPropertyValue("--chart-ink").trim() || "#555";
    const grid = { stroke: styles.getPropertyValue("--chart-grid").trim() || "#8883", width: 1 };
    const font = `12px ${styles.fontFamily || "sans-serif"}`;
    const line = { stroke: ink, grid, ticks: grid, font };
    const isTime = props.axis === "time";
    return {
      width,
      height: box.clientHeight || 240,
      pxAlign: 0,
      legend: { show: false },
      focus: { alpha: 1 },
      cursor: {
        focus: { prox: NEAR_PX },
        points: { one: true, size: 8 },
        hover: { skip: [undefined, null] },
        drag: { x: true, y: false, setScale: false, dist: 5 },
        sync: { key: "curves", scales: ["x", null], filters: { pub: isMove, sub: isMove } },
        bind: hands.bind,
      },
      scales: {
        x: { time: false, range: () => [sight().first, sight().last] },
        y: { distr: props.isLog ? 3 : 1, range: upright },
      },
      axes: [
        { ...line, size: 34, values: (_u, ticks) => tickValues(ticks, props.axis), ...(isTime && { incrs: timeSteps }) },
        { ...line, size: 58, values: (_u, ticks) => valueTicks(ticks) },
      ],
      series: [{}, ...props.lines.map((each, index) => seriesOf(each, index, styles))],
      hooks: {
        setCursor: [(u) => bubble.show(u, props, isShown)],
        setSeries: [(_u, index) => props.onFocus(index ? props.lines[index - 1].job : null)],
        setSelect: [selected],
      },
    };
  }

  function seriesOf(each, index, styles) {
    const { colour, dash } = lookOf(each.job);
    const stroke = styles.getPropertyValue(`--curve-${colour}`).trim();
    const isGhost = each.attempt !== null;
    return {
      scale: "y",
      show: isShown(index),
      stroke,
      fill: `${stroke}2e`,
      dash: isGhost ? [1, 3] : dash,
      paths: pathsOf(each, () => hasBand(index)),
      spanGaps: true,
      ...prominence(each),
      points: {
        show: (_u, series, from, to) => isSparse(props.lines[series - 1].last, from, to),
        size: isGhost ? 3 : 5,
        fill: stroke,
      },
    };
  }

  function prominence(each) {
    const isGhost = each.attempt !== null;
    const isFaint = props.focused !== null && each.job !== props.focused;
    return {
      width: each.job === props.focused && !isGhost ? 3 : 1.5,
      alpha: (isGhost ? 0.5 : 1) * (isFaint ? 0.35 : 1),
    };
  }

  function upright() {
    const { first, last } = sight();
    const found = extent(props.x, props.lines, { first, last, isLog: props.isLog, isShown, hasBand });
    if (props.isLog) return found ? uPlot.rangeLog(found[0], found[1], 10, false) : [1, 10];
    if (!found) return [0, 1];
    const pad = (found[1] - found[0]) * 0.06 || Math.abs(found[0]) * 0.1 || 1;
    return [found[0] - pad, found[1] + pad];
  }

  function selected(u) {
    const { left, width } = u.select;
    if (width <= 0) return;
    zoom({ first: u.posToVal(left, "x"), last: u.posToVal(left + width, "x") });
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  /** What tells whether uPlot's own series are still the right ones. */
  const shapeOf = () =>
    JSON.stringify([props.axis, props.isLog, dark.matches, props.lines.map((l) => [l.job, l.attempt])]);

  function redress() {
    props.lines.forEach((each, index) => {
      const series = plot.series[index + 1];
      Object.assign(series, prominence(each), { show: isShown(index) });
      series.paths = pathsOf(each, () => hasBand(index));
    });
  }

  function draw() {
    frame = 0;
    if (shapeOf() !== shape) {
      shape = shapeOf();
      build();
      return;
    }
    redress();
    plot.batch(() => {
      plot.setData(dataOf(props), false);
      const { first, last } = sight();
      plot.setScale("x", { min: first, max: last });
      plot.redraw(true, true);
    });
  }

  function later() {
    frame ||= requestAnimationFrame(draw);
  }

  function tell() {
    title.textContent = props.metric;
    hint.textContent = props.hint;
    told.textContent = props.told;
    const jobs = new Set(props.lines.map((line) => line.job)).size;
    box.setAttribute("aria-label",
      `${props.metric}, ${jobs} ${jobs === 1 ? "job" : "jobs"}. Left and right move along a curve, `
      + "up and down to another, plus and minus zoom, Enter shows the log.");
    box.classList.toggle("has-points", Boolean(props.onPoint));
  }

  const resized = new ResizeObserver(() => {
    if (plot && box.clientWidth > 0 && box.clientWidth !== plot.width) {
      plot.setSize({ width: box.clientWidth, height: box.clientHeight || 240 });
    }
  });
  resized.observe(box);
  dark.addEventListener("change", later);
  tell();
  later();

  return {
    update(next) {
      props = { ...props, ...next };
      tell();
      table.update(props);
      keys.refresh();
      later();
    },
    destroy() {
      clearTimeout(settle);
      cancelAnimationFrame(frame);
      dark.removeEventListener("change", later);
      resized.disconnect();
      hands.destroy();
      table.destroy();
      plot?.destroy();
      figure.remove();
    },
  };
}

const isMove = (type) => type === "mousemove";

function dataOf({ x, lines }) {
  return [x, ...lines.map((line) => line.last)];
}
