/** GPUs used and free, by node. */

import { el, keyed, replace, write } from "../dom.mjs";
import { count } from "../format.mjs";

const MOST_DRAWN = 16;

/** @returns {{node: HTMLElement, update: function(Object[], boolean)}} */
export function nodes() {
  const list = el("ul", { class: "plain nodes" });
  const tally = el("span", { class: "faint" });
  const node = el("section", { class: "panel gpus", "aria-labelledby": "gpus" },
    el("header", {}, el("h2", { id: "gpus", text: "GPUs" }), tally), list);
  node.hidden = true;
  return {
    node,
    update(all, cluster) {
      node.hidden = !cluster;
      const total = all.reduce((sum, each) => sum + each.gpus.allocatable, 0);
      const used = all.reduce((sum, each) => sum + each.gpus.used, 0);
      write(tally, all.length ? `${Math.max(0, total - used)} of ${total} free` : "No node is known.");
      keyed(list, all, (each) => each.name, row);
    },
  };
}

function row() {
  const name = el("span", { class: "name" });
  const boxes = el("span", { class: "boxes", "aria-hidden": "true" });
  const words = el("span", { class: "num faint" });
  const node = el("li", {}, name, boxes, words);
  let drawn = "";
  return {
    node,
    update({ name: called, ready, gpus: { allocatable, used } }) {
      write(name, called);
      write(words, sentence(ready, allocatable, used));
      const key = `${allocatable} ${used}`;
      if (drawn === key) return;
      drawn = key;
      const shown = Math.min(allocatable, MOST_DRAWN);
      replace(boxes, Array.from({ length: shown }, (_, index) =>
        el("span", { class: index < used ? "box used" : "box" })));
    },
  };
}

function sentence(ready, allocatable, used) {
  const told = allocatable ? `${used} used, ${Math.max(0, allocatable - used)} free`
    : count(0, "GPU");
  return ready ? told : `not ready; ${told}`;
}
