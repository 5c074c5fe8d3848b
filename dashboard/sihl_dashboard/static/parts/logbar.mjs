/** The bar above a log: search, errors, following, download; and what is found is marked in the lines. */

import { address, pathOf } from "../api.mjs";
import { announce, el, write } from "../dom.mjs";
import { integer } from "../format.mjs";
import { logHits } from "./loghits.mjs";

const PATIENCE = 300; // milliseconds after the last stroke

/**
 * @param {{namespace: string, project: string, job: string, attempt: ?number}} which
 * @param {{onJump: function(number), onFollow: function(boolean), current: function(): ?number,
 *   onNeedle: function()}} heard
 */
export function logBar(which, { onJump, onFollow, current, onNeedle }) {
  const errors = logHits(which, null);
  let found = null; // of the search
  let needle = "";
  let mode = "errors"; // what "next" goes to: what was used last
  let timer = 0;
  let turn = 0;

  const search = el("input", { type: "search", placeholder: "Search the log", maxlength: 1000,
    "aria-label": "Search the log", autocomplete: "off", spellcheck: "false", oninput: typed,
    onkeydown: entered });
  const state = el("span", { class: "log-state faint num", role: "status" });
  const many = el("span", { class: "faint num" });
  const follower = el("button", { type: "button", "aria-pressed": "false",
    onclick: () => onFollow(follower.getAttribute("aria-pressed") !== "true") }, "Follow");
  const node = el("div", { class: "log-bar row" },
    search, button("↑", "The place before", () => places(-1)), button("↓", "Next place", () => places(1)),
    button("First error", "First error (e)", () => error("first")),
    button("Next error", "Next error (n)", () => error(1)), state,
    el("span", { class: "row end" }, many, follower,
      el("a", { href: address(`${pathOf(which.namespace, which.project, which.job)}/log.txt`,
        { attempt: which.attempt }), download: "", class: "button" }, "Download")));

  function button(text, label, onclick) {
    return el("button", { type: "button", onclick, title: label, "aria-label": label }, text);
  }

  function typed() {
    clearTimeout(timer);
    timer = setTimeout(look, PATIENCE);
  }

  function entered(event) {
    if (event.key === "Enter") {
      event.preventDefault();
      clearTimeout(timer);
      if (search.value !== needle) look();
      else places(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape" && search.value) {
      event.preventDefault();
      search.value = "";
      look();
    }
  }

  function look() {
    needle = search.value;
    found = needle ? logHits(which, needle) : null;
    onNeedle();
    if (found) places(0);
    else {
      turn += 1;
      write(state, "");
    }
  }

  function places(by) {
    if (!found) return search.focus();
    mode = "places";
    return jump(found, by, `“${needle}”`);
  }

  function error(by) {
    mode = "errors";
    return jump(errors, by, "errors");
  }

  /** To the next (1), the one before (-1), the one here or behind (0), or the first. */
  async function jump(hits, by, what) {
    const mine = ++turn;
    write(state, "looking …");
    try {
      const here = by === "first" ? -1 : (current() ?? -1);
      const line = by === -1 ? await hits.previous(here) : await hits.next(by === 0 ? here - 1 : here);
      if (mine !== turn) return;
      told(hits, line, what);
      if (line !== null) onJump(line);
    } catch (problem) {
      if (mine === turn) write(state, problem.message);
    }
  }

  function told(hits, line, what) {
    if (line === null) {
      const none = what === "errors" ? "no errors" : "not found";
      write(state, none);
      announce(none);
      return;
    }
    const all = `${integer(hits.numbers.length)}${hits.isEnd ? "" : "+"}`;
    write(state, `${integer(hits.numbers.indexOf(line) + 1)} of ${all}`);
  }

  /** Nodes of a line, with what is searched for marked. */
  function marked(nodes) {
    if (!needle) return nodes;
    return nodes.flatMap((each) => {
      if (typeof each === "string") return split(each, "");
      const parts = split(each.textContent, each.className);
      return parts.length === 1 && typeof parts[0] === "string" ? [each] : parts;
    });
  }

  function split(text, classes) {
    // As the server searches: whatever the case of ASCII letters, and of no others.
    const low = lower(text);
    const sought = lower(needle);
    const found = [];
    let at = 0;
    for (let hit = low.indexOf(sought); hit >= 0; hit = low.indexOf(sought, at)) {
      found.push(part(text.slice(at, hit), classes), el("mark", { text: text.slice(hit, hit + sought.length) }));
      at = hit + sought.length;
    }
    found.push(part(text.slice(at), classes));
    return found.filter(Boolean);
  }

  function part(text, classes) {
    if (!text) return null;
    return classes ? el("span", { class: classes, text }) : text;
  }

  return {
    node,
    marked,
    get needle() {
      return needle;
    },
    error,
    step: (by) => (mode === "places" && found ? places(by) : error(by)),
    count: (count) => write(many, `${integer(count)} lines`),
    following: (isOn) => follower.setAttribute("aria-pressed", String(isOn)),
    refresh() {
      errors.refresh();
      found?.refresh();
    },
    destroy() {
      clearTimeout(timer);
      turn += 1; // what comes now is nobody's
    },
  };
}

function lower(text) {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}
