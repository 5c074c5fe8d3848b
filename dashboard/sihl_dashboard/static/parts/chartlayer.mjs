/**
 * The curves of a chart, on a canvas of their own between uPlot's grid and its cursor: a line
 * through the last value of each bucket, and the band from least to greatest.
 *
 * Not by uPlot, for two reasons: its bands want three series a curve, and it draws all curves anew
 * for each frame of a pan or zoom. Here the picture that stands is moved and stretched meanwhile,
 * which costs the same for fifty curves as for one.
 */
import { el } from "../dom.mjs";
import { lookOf } from "./colours.mjs";

/** Below this many values in sight a curve shows where its points lie. */
const FEW_POINTS = 60;
const FADED = 0.4;
/** A curve has a gap where its next value is so many times as far away as values mostly are. */
const GAP = 4;

/**
 * @returns {{attach(plot: object): void, paint(plot: object, props: object, sight: object): void,
 *   focus(plot: object, props: object, sight: object): void, move(plot: object): void,
 *   age(): number}}
 */
export function layer() {
  const all = el("canvas", {});
  const one = el("canvas", {});
  const clip = el("div", { class: "chart-layer" }, all, one);
  let painted = null;

  /** Draw all that is shown. */
  function paint(plot, props, sight) {
    draw(all, plot, props, { ...sight, isFocused: false });
    painted = { first: plot.scales.x.min, last: plot.scales.x.max, at: performance.now() };
    focus(plot, props, sight);
  }

  /** One job lies above the others, which fade: only it is drawn. */
  function focus(plot, props, sight) {
    const isShown = (index) => sight.isShown(index) && props.lines[index].job === props.focused;
    const isFocused = props.lines.some((_line, index) => isShown(index));
    all.style.setProperty("opacity", isFocused ? FADED : 1);
    one.hidden = !isFocused;
    if (isFocused)
      draw(one, plot, props, {
        ...sight,
        isShown,
        hasBand: (index) => props.lines[index].attempt === null,
        isFocused,
      });
  }

  return {
    attach(plot) {
      plot.over.prepend(clip);
      painted = null;
    },
    paint,
    focus,
    /** Show what stands painted where it now belongs. */
    move(plot) {
      const { min, max } = plot.scales.x;
      const width = plot.bbox.width / (window.devicePixelRatio || 1);
      const stretch = (painted.last - painted.first) / (max - min);
      const shift = ((painted.first - min) / (max - min)) * width;
      for (const canvas of [all, one]) {
        canvas.style.setProperty("transform", `translateX(${shift}px) scaleX(${stretch})`);
      }
    },
    /** Milliseconds since it was painted. */
    age: () => (painted ? performance.now() - painted.at : Infinity),
  };
}

function draw(canvas, plot, props, { isShown, hasBand, colours, isFocused }) {
  const { width, height } = plot.bbox;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  canvas.style.setProperty("transform", "none");
  const to = scaleOf(plot, width, height);
  const [from, until] = inSight(props.x, plot.scales.x);
  props.lines.forEach((line, index) => {
    if (!isShown(index)) return;
    const colour = colours[lookOf(line.job).colour];
    drawLine(pen, line, { x: props.x, to, from, until, colour, isFocused, hasBand: hasBand(index) });
  });
}

function drawLine(pen, line, { x, to, from, until, colour, isFocused, hasBand }) {
  const isGhost = line.attempt !== null;
  const ratio = window.devicePixelRatio || 1;
  const points = pointsOf(x, line.last, from, until, to);
  pen.strokeStyle = pen.fillStyle = colour;
  if (hasBand) {
    pen.globalAlpha = 0.2;
    fillBand(pen, line, x, from, until, to);
  }
  pen.globalAlpha = isGhost ? 0.5 : 1;
  pen.lineWidth = (isFocused && !isGhost ? 3 : 1.5) * ratio;
  pen.lineJoin = "round";
  pen.setLineDash((isGhost ? [1, 3] : lookOf(line.job).dash).map((length) => length * ratio));
  trace(pen, points);
  pen.stroke();
  if (points.length / 2 <= FEW_POINTS) dots(pen, points, (isGhost ? 2 : isFocused ? 3.5 : 2.5) * ratio);
}

/** A path through places; where one is no number the pen is lifted. */
function trace(pen, points) {
  pen.beginPath();
  let isUp = true;
  for (let at = 0; at < points.length; at += 2) {
    if (Number.isNaN(points[at])) isUp = true;
    else if (isUp) {
      pen.moveTo(points[at], points[at + 1]);
      isUp = false;
    } else pen.lineTo(points[at], points[at + 1]);
  }
}

function dots(pen, points, radius) {
  pen.beginPath();
  for (let at = 0; at < points.length; at += 2) {
    if (Number.isNaN(points[at])) continue;
    pen.moveTo(points[at] + radius, points[at + 1]);
    pen.arc(points[at], points[at + 1], radius, 0, 2 * Math.PI);
  }
  pen.fill();
}

/** From least to greatest, a piece at a time: nothing is known of what lies in a gap. */
function fillBand(pen, line, x, from, until, to) {
  const upper = pointsOf(x, line.max, from, until, to);
  const lower = pointsOf(x, line.min, from, until, to);
  // On a log scale some least values have no place: such a band would cross itself.
  if (upper.length !== lower.length) return;
  pen.beginPath();
  for (let start = 0; start < upper.length; ) {
    let end = start;
    while (end < upper.length && !Number.isNaN(upper[end])) end += 2;
    if (end > start) pen.moveTo(upper[start], upper[start + 1]);
    for (let at = start; at < end; at += 2) pen.lineTo(upper[at], upper[at + 1]);
    for (let at = end - 2; at >= start; at -= 2) pen.lineTo(lower[at], lower[at + 1]);
    start = end + 2;
  }
  pen.fill();
}

function scaleOf(plot, width, height) {
  const { x, y } = plot.scales;
  const isLog = y.distr === 3;
  const up = isLog ? Math.log : (value) => value;
  const [low, high] = [up(y.min), up(y.max)];
  return {
    isLog,
    across: (value) => ((value - x.min) / (x.max - x.min)) * width,
    up: (value) => (1 - (up(value) - low) / (high - low)) * height,
  };
}

/** From the last bucket before what is in sight to the first one beyond. */
function inSight(x, { min, max }) {
  let from = 0;
  let until = x.length - 1;
  while (from < until && x[from + 1] < min) from++;
  while (until > from && x[until - 1] > max) until--;
  return [from, until];
}

/**
 * The places of values, x and y in turn, with the nearest ones beyond what is in sight; NaN where
 * there is a gap.
 */
function pointsOf(x, values, from, until, { isLog, across, up }) {
  while (from > 0 && values[from] == null) from--;
  while (until < x.length - 1 && values[until] == null) until++;
  const held = [];
  for (let at = from; at <= until; at++) {
    const value = values[at];
    if (value != null && !(isLog && value <= 0)) held.push(at);
  }
  const far = GAP * spacing(held);
  const points = [];
  held.forEach((at, index) => {
    if (index > 0 && at - held[index - 1] > far) points.push(NaN, NaN);
    points.push(across(x[at]), up(values[at]));
  });
  return points;
}

/** How many buckets lie from a value to the next, mostly. */
function spacing(held) {
  if (held.length < 2) return Infinity;
  const steps = new Uint32Array(held.length - 1);
  for (let index = 1; index < held.length; index++) steps[index - 1] = held[index] - held[index - 1];
  return steps.sort()[steps.length >> 1];
}
