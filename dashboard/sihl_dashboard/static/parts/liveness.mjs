/** Whether what is shown is live: told in words, and always in view. */

import { announce, el, write } from "../dom.mjs";

const TOLD = {
  idle: ["", ""],
  connecting: ["Connecting", "wait"],
  live: ["Live", "live"],
  lost: ["Not live: the connection is lost, trying again", "lost"],
  resting: ["Resting", "wait"],
};

let end = null;

/** One for the page; the one before is forgotten. */
export function liveness(stream) {
  end?.();
  const text = el("span", {});
  const node = el("span", { class: "liveness" }, el("span", { class: "dot", "aria-hidden": "true" }), text);
  let before = "";
  function show(state) {
    const [words, look] = TOLD[state];
    write(text, words);
    node.dataset.look = look;
    node.hidden = !words;
    if (state === "lost") announce(words);
    if (state === "live" && before === "lost") announce("Live again");
    before = state;
  }
  show(stream.state());
  end = stream.onState(show);
  return node;
}
