/** One metric of some jobs over steps, images or time: drawn by uPlot, read by mouse or keys. */
import uPlot from "/assets/uplot/uPlot.esm.js";
import { el } from "../dom.mjs";
import { axesOf } from "./chartaxes.mjs";
import { pointer } from "./chartpointer.mjs";
import { cursorKeys } from "./chartkeys.mjs";
import { layer } from "./chartlayer.mjs";
import { extent } from "./chartlines.mjs";
import { tip } from "./charttip.mjs";
import { valuesTable } from "./chartvalues.mjs";
import { COLOURS, lookOf } from "./colours.mjs";

/** With more curves than this only the one in focus has a band: more would hide each other. */
const MOST_BANDS = 10;
/** With more than this many, their picture is moved during a gesture, and painted now and then. */
const MOST_PAINTED = 12;
const REPAINT_MS = 400;
const SETTLE_MS = 300;
const NEAR_PX = 30;
const dark = window.matchMedia("(prefers-color-scheme: dark)");

/**
 * @typedef {import("./chartlines.mjs").Line} Line
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
 * @returns {{update(props: Partial<ChartProps>): void, focus(job: string|null): void,
 *   rest(): void, destroy(): void}} `focus` is much cheaper than an update
 */
export function chart(root, props) {
  const title = el("h4", { class: "chart-title" });
  const hint = el("span", { class: "chart-hint" });
  const box = el("div", { class: "chart-plot", tabindex: "0", role: "application" });
  box.setAttribute("aria-roledescription", "chart");
  const readout = el("p", { class: "chart-readout", "aria-live": "polite" });
  const told = el("p", { class: "chart-told" });
  const tableRoot = el("div", { class: "chart-values" });
  const figure = el(
    "figure",
    { class: "chart" },
    el("figcaption", { class: "chart-head" }, title, hint),
    box,
    readout,
    told,
    tableRoot,
  );
  root.append(figure);

  let plot = null;
  let shape = "";
  let isResting = false;
  /** The range that a gesture under way has reached; the address and the server follow later. */
  let moving = null;
  let settle = 0;
  let frame = 0;
  const table = valuesTable(tableRoot, props);
  const bubble = tip(box);
  const curves = layer();
  let colours = [];

  const isShown = (index) => !props.hidden.has(props.lines[index].job);
  const hasBand = (index) => props.lines[index].attempt === null && props.lines.length <= MOST_BANDS;
  const sight = () => moving ?? props.sight;

  function zoom(range) {
    moving = range ?? props.bounds;
    plot?.setScale("x", padded(moving));
    clearTimeout(settle);
    settle = setTimeout(() => {
      moving = null;
      later();
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
    get plot() {
      return plot;
    },
    get props() {
      return props;
    },
    isShown,
    sight,
    zoom,
    point,
    say(text) {
      readout.textContent = text;
    },
  };
  const keys = cursorKeys(box, context);
  const hands = pointer(context);

  const isGliding = () => moving !== null && props.lines.length > MOST_PAINTED;

  function build() {
    plot?.destroy();
    const styles = getComputedStyle(root);
    colours = Array.from({ length: COLOURS }, (_, at) => styles.getPropertyValue(`--curve-${at}`).trim());
    curves.attach((plot = new uPlot(options(Math.max(200, box.clientWidth), styles), dataOf(props), box)));
    paint(plot);
    bubble.attach(plot);
    hands.attach(plot.over);
  }

  function paint(u) {
    if (isGliding() && curves.age() < REPAINT_MS) curves.move(u);
    else curves.paint(u, props, { isShown, hasBand, colours });
  }

  function focus(job) {
    props = { ...props, focused: job };
    if (plot && !isGliding()) curves.focus(plot, props, { isShown, hasBand, colours });
  }

  function options(width, styles) {
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
        x: { time: false, range: () => [padded(sight()).min, padded(sight()).max] },
        y: { distr: props.isLog ? 3 : 1, range: upright },
      },
      axes: axesOf(styles, props.axis),
      series: [{}, ...props.lines.map((each, index) => seriesOf(each, index))],
      hooks: {
        draw: [(u) => plot === u && paint(u)],
        setCursor: [(u) => bubble.show(u, props, moving ? () => false : isShown)],
        setSeries: [(_u, index) => props.onFocus(index ? props.lines[index - 1].job : null)],
        setSelect: [selected],
      },
    };
  }

  /** uPlot has them for its cursor and scales; what is seen of them the layer draws. */
  function seriesOf(each, index) {
    return {
      scale: "y",
      show: isShown(index),
      stroke: colours[lookOf(each.job).colour],
      paths: () => null,
      points: { show: false },
    };
  }

  function upright(u) {
    if (isGliding() && u.scales.y.max != null) return [u.scales.y.min, u.scales.y.max];
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
    const { bounds } = props;
    zoom({
      first: Math.max(bounds.first, u.posToVal(left, "x")),
      last: Math.min(bounds.last, u.posToVal(left + width, "x")),
    });
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  /** What tells whether uPlot's own series are still the right ones. */
  const shapeOf = () =>
    JSON.stringify([props.axis, props.isLog, dark.matches, props.lines.map((l) => [l.job, l.attempt])]);

  function draw() {
    frame = 0;
    if (isResting || !props.x.length) return;
    if (shapeOf() !== shape) {
      shape = shapeOf();
      build();
      return;
    }
    plot.batch(() => {
      props.lines.forEach((_line, index) => {
        plot.series[index + 1].show = isShown(index);
      });
      plot.setData(dataOf(props), false);
      plot.setScale("x", padded(sight()));
      plot.redraw(false, true);
    });
  }

  function later() {
    frame ||= requestAnimationFrame(draw);
  }

  function tell() {
    title.textContent = props.metric;
    hint.textContent = props.hint;
    told.textContent = props.told;
    told.title =
      props.lines.length > MOST_BANDS
        ? "Of the curve in focus the band shows what each bucket holds, from least to greatest."
        : "The bands show what each bucket holds, from least to greatest.";
    const jobs = new Set(props.lines.map((line) => line.job)).size;
    box.setAttribute(
      "aria-label",
      `${props.metric}, ${jobs} ${jobs === 1 ? "job" : "jobs"}. Left and right move along a curve, ` +
        "up and down to another, plus and minus zoom, Enter shows the log.",
    );
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
      isResting = false;
      tell();
      table.update(props);
      keys.refresh();
      later();
    },
    focus,
    /** Until the next update there is no picture: it is out of sight. */
    rest() {
      cancelAnimationFrame(frame);
      frame = 0;
      plot?.destroy();
      plot = null;
      shape = "";
      isResting = true;
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

/** A little room at both ends, so that points there are seen whole. */
function padded({ first, last }) {
  const pad = (last - first) * 0.015 || 0.5;
  return { min: first - pad, max: last + pad };
}

function dataOf({ x, lines }) {
  return [x, ...lines.map((line) => line.last)];
}
