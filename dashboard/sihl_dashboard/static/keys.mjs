/**
 * Keyboard shortcuts. `?` shows those that hold where one is. Single letters can be switched off there
 * (WCAG 2.1.4): speech input types them by accident.
 */

import { el, replace } from "./dom.mjs";

const PATIENCE = 1200; // milliseconds between the strokes of "g o"
const SETTING = "sihl.keys";

const groups = new Set();
let pressed = [];
let timer = 0;
let dialog = null;

/**
 * Adds shortcuts until the answer is called.
 *
 * @param {string} title of their group in the help
 * @param {Array<{keys: string, label: string, run: ?function(KeyboardEvent)}>} shortcuts `keys` is one
 *   stroke, "/", "Shift+N", or two after another, "g o". Without `run` it is only told of: the part
 *   itself hears it, as a chart its arrows.
 * @returns {function()} takes them away
 */
export function addKeys(title, shortcuts) {
  const group = { title, shortcuts };
  groups.add(group);
  return () => groups.delete(group);
}

/** Whether single-letter shortcuts are on. */
export function keysOn() {
  try {
    return localStorage.getItem(SETTING) !== "off";
  } catch {
    return true;
  }
}

/** Hears the page's strokes; once, when it begins. */
export function listen() {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]") || !keysOn()) return;
    if (event.key.length > 1) return;
    if (event.key === "?") {
      event.preventDefault();
      showKeys();
      return;
    }
    stroke(event);
  });
}

function stroke(event) {
  clearTimeout(timer);
  timer = setTimeout(() => (pressed = []), PATIENCE);
  pressed.push(named(event));
  const typed = pressed.join(" ");
  const all = [...groups].reverse().flatMap((group) => group.shortcuts).filter((each) => each.run);
  const found = all.find((each) => each.keys === typed);
  if (found) {
    pressed = [];
    event.preventDefault();
    found.run(event);
  } else if (!all.some((each) => each.keys.startsWith(`${typed} `))) {
    const again = pressed.length > 1;
    pressed = [];
    if (again) stroke(event);
  }
}

function named(event) {
  const isUpper = event.shiftKey && event.key.toLowerCase() !== event.key.toUpperCase();
  return isUpper ? `Shift+${event.key.toUpperCase()}` : event.key;
}

const TYPED_IN = "input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]";

function isTyping(target) {
  return target instanceof Element && target.closest(TYPED_IN) !== null;
}

/** Opens the list of all shortcuts. */
export function showKeys() {
  dialog ??= document.body.appendChild(el("dialog", { class: "keys", "aria-labelledby": "keys-title" }));
  const toggle = el("input", {
    type: "checkbox", checked: keysOn(),
    onchange: (event) => {
      try {
        localStorage.setItem(SETTING, event.target.checked ? "on" : "off");
      } catch {
        // Storage is refused: then it holds as it is.
      }
    },
  });
  replace(
    dialog,
    el("header", { class: "row" }, el("h2", { id: "keys-title", text: "Keys" }),
      el("button", { type: "button", class: "quiet end", onclick: () => dialog.close() }, "Close")),
    [...groups].filter((group) => group.shortcuts.length).map(shown),
    el("label", { class: "check" }, toggle, "Shortcuts are on"),
  );
  dialog.showModal();
}

function shown(group) {
  return el("section", {}, el("h3", { text: group.title }), el("dl", { class: "shortcuts" },
    group.shortcuts.map((each) => [
      el("dt", {}, each.keys.split(" ").map((key) => el("kbd", { text: key }))),
      el("dd", { text: each.label }),
    ])));
}
