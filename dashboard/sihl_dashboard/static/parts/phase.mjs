/** How a job stands: by a word and a shape; its colour only helps. */

import { el, svg, replace } from "../dom.mjs";

const SHAPES = {
  Queued: () => [svg("circle", { cx: 6, cy: 6, r: 4, class: "line" })],
  Starting: () => [svg("circle", { cx: 6, cy: 6, r: 4, class: "line" }),
    svg("path", { d: "M6 2a4 4 0 0 1 0 8z", class: "full" })],
  Running: () => [svg("path", { d: "M3 1.500v9l7.500-4.500z", class: "full" })],
  Stopping: () => [svg("rect", { x: 2, y: 2, width: 8, height: 8, class: "line" }),
    svg("rect", { x: 4.5, y: 4.5, width: 3, height: 3, class: "full" })],
  Stopped: () => [svg("rect", { x: 2, y: 2, width: 8, height: 8, class: "full" })],
  Succeeded: () => [svg("path", { d: "M1.500 6.500l3 3 6-7", class: "line thick" })],
  Failed: () => [svg("path", { d: "M2 2l8 8M10 2l-8 8", class: "line thick" })],
  Unfinished: () => [svg("path", { d: "M2 6h2M5 6h2M8 6h2", class: "line thick" })],
};

/** The mark of a phase (of the cluster) or a state (of a record), for example "Running". */
export function phase(name) {
  const node = el("span", { class: "phase" });
  setPhase(node, name);
  return node;
}

/** Brings a mark up to date. */
export function setPhase(node, name) {
  if (node.dataset.phase === name) return;
  node.dataset.phase = name;
  const shape = SHAPES[name] ?? SHAPES.Unfinished;
  replace(node, svg("svg", { viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true",
    focusable: "false" }, shape()), el("span", { text: name || "Unknown" }));
}

/** Whether a job of this phase holds its queue. */
export function isActive(name) {
  return name === "Starting" || name === "Running" || name === "Stopping";
}
