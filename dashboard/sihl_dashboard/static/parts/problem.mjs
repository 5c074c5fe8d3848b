/** What went wrong, where it is, and what to do. */

import { el } from "../dom.mjs";

/**
 * @param {Error} error an ApiError, or any other
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

/** Things that could not be read in full: the rest is shown all the same. */
export function troubles(list) {
  if (!list?.length) return null;
  return el("details", { class: "troubles" },
    el("summary", {}, list.length === 1 ? "1 thing could not be read in full"
      : `${list.length} things could not be read in full`),
    el("ul", {}, list.map((each) => el("li", {},
      el("code", { text: each.where ?? "" }), " ", each.what ?? each.message ?? ""))));
}
