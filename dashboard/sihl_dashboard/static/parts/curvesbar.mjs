/** What can be chosen about curves: axis, smoothing, scale, metrics, and the stretch in sight. */
import { el } from "../dom.mjs";
import { scaled, shifted } from "./chartpointer.mjs";
import { widthText } from "./charttext.mjs";
import { AXES } from "./curvesview.mjs";

const STEPS = 100;
/** The slider goes from 0.05 % of the axis to a quarter of it, each step by the same factor. */
const LEAST = 0.0005;
const MOST = 0.25;
const PATIENCE_MS = 200;

/**
 * @param {HTMLElement} root
 * @param {{view: import("./curvesview.mjs").CurvesView, onView: (changes: object) => void,
 *   bounds: {first: number, last: number}|null}} props
 */
export function curvesBar(root, props) {
  let waiting = 0;
  const change = (changes) => props.onView(changes);
  const soon = (changes) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => change(changes), PATIENCE_MS);
  };

  const axis = el(
    "select",
    { onchange: () => change({ axis: axis.value, first: null, last: null, smoothing: 0 }) },
    ...Object.entries(AXES).map(([value, text]) => el("option", { value }, text)),
  );
  const smoothing = el("input", { type: "range", min: "0", max: String(STEPS), step: "1", oninput: slid });
  const smoothed = el("output", { class: "curves-smoothed" });
  const log = el("input", { type: "checkbox", onchange: () => change({ isLog: log.checked }) });
  const ghosts = el("input", { type: "checkbox", onchange: () => change({ ghosts: ghosts.checked }) });
  const metrics = el("input", {
    type: "search",
    placeholder: "all",
    autocomplete: "off",
    oninput: () => soon({ metrics: metrics.value.trim() }),
  });
  const zooms = {
    "Zoom in": ["+", () => zoomed((sight) => scaled(sight, middle(sight), 0.5, props.bounds))],
    "Zoom out": ["−", () => zoomed((sight) => scaled(sight, middle(sight), 2, props.bounds))],
    Earlier: ["◀", () => zoomed((sight) => shifted(sight, -width(sight) / 4, props.bounds))],
    Later: ["▶", () => zoomed((sight) => shifted(sight, width(sight) / 4, props.bounds))],
    "All of the axis": ["All", () => change({ first: null, last: null })],
  };
  const buttons = Object.entries(zooms).map(([label, [sign, onclick]]) =>
    el("button", { type: "button", "aria-label": label, title: label, onclick }, sign),
  );

  root.append(
    el(
      "form",
      { class: "curves-bar", "aria-label": "Curves", onsubmit: (event) => event.preventDefault() },
      field("Over", axis),
      el("div", { class: "field" }, el("label", {}, "Smoothing ", smoothing), smoothed),
      el("label", { class: "check" }, log, " Log scale"),
      el("label", { class: "check" }, ghosts, " Superseded attempts"),
      field("Metrics", metrics),
      el("div", { class: "curves-zoom", role: "group", "aria-label": "Stretch of the axis" }, ...buttons),
    ),
  );

  function slid() {
    const constant = constantOf(Number(smoothing.value), full());
    smoothed.textContent = smoothingText(constant, props.view.axis);
    smoothing.setAttribute("aria-valuetext", smoothed.textContent);
    soon({ smoothing: constant });
  }

  const full = () => (props.bounds ? width(props.bounds) : 0);

  function zoomed(move) {
    const { bounds, view } = props;
    if (!bounds) return;
    const sight = view.first === null ? bounds : { first: view.first, last: view.last };
    change(move(sight) ?? { first: null, last: null });
  }

  function render() {
    const { view } = props;
    axis.value = view.axis;
    log.checked = view.isLog;
    ghosts.checked = view.ghosts;
    if (document.activeElement !== metrics) metrics.value = view.metrics;
    if (document.activeElement !== smoothing) smoothing.value = String(placeOf(view.smoothing, full()));
    smoothed.textContent = smoothingText(view.smoothing, view.axis);
    smoothing.setAttribute("aria-valuetext", smoothed.textContent);
    buttons.forEach((button) => {
      button.disabled = !props.bounds;
    });
  }
  render();

  return {
    update(next) {
      props = { ...props, ...next };
      render();
    },
    destroy() {
      clearTimeout(waiting);
    },
  };
}

function field(label, control) {
  return el("label", { class: "field" }, `${label} `, control);
}

const width = ({ first, last }) => last - first;
const middle = ({ first, last }) => (first + last) / 2;

function smoothingText(constant, axis) {
  return constant > 0 ? widthText(constant, axis) : "none";
}

/** Of the slider's place: an age in the axis' unit. */
export function constantOf(place, full) {
  if (place <= 0 || !(full > 0)) return 0;
  return Number((full * LEAST * (MOST / LEAST) ** ((place - 1) / (STEPS - 1))).toPrecision(3));
}

/** And back. */
export function placeOf(constant, full) {
  if (!(constant > 0) || !(full > 0)) return 0;
  const place = 1 + ((STEPS - 1) * Math.log(constant / full / LEAST)) / Math.log(MOST / LEAST);
  return Math.round(Math.min(STEPS, Math.max(1, place)));
}
