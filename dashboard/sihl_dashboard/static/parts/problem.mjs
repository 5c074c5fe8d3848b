/** What went wrong, where it is, and what to do. */

import { el, keyed, write } from "../dom.mjs";
import { count } from "../format.mjs";

/**
 * @param {{message: string, remedy?: string}} error an ApiError, or any other
 * @param {{title?: string, again?: function()}} [options]
 * @returns {HTMLElement}
 */
export function problem(error, { title = "", again = null } = {}) {
  return el("div", { class: "problem", role: "alert" },
    title ? el("h1", { text: title }) : null,
    el("p", { text: error.message || "Something went wrong." }),
    error.remedy ? el("p", { class: "faint", text: error.remedy }) : null,
    again ? el("p", {}, el("button", { type: "button", onclick: again }, "Try again")) : null);
}

/** Things that could not be read in full: the rest is shown all the same. `update` takes the server's list. */
export function troubles() {
  const summary = el("summary", {});
  const list = el("ul", {});
  const node = el("details", { class: "troubles" }, summary, list);
  node.hidden = true;
  return {
    node,
    update(all = []) {
      node.hidden = !all.length;
      write(summary, `${count(all.length, "thing")} could not be read in full`);
      keyed(list, all, (each) => `${each.where}\n${each.what}`, ({ where, what }) => ({
        node: el("li", {}, where ? el("code", { text: where }) : null, " ", what), update() {},
      }));
    },
  };
}
