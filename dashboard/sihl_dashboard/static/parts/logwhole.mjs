/** One line of a log in full, a piece after the other: it may have 10 MB. */

import { get, pathOf } from "../api.mjs";
import { el, replace } from "../dom.mjs";
import { bytes } from "../format.mjs";
import { pieces } from "./ansi.mjs";
import { problem } from "./problem.mjs";

const PIECE = 65_536; // bytes that the server shows of one line at most

/**
 * Opens it over the page.
 *
 * @param {{namespace: string, project: string, job: string, attempt: ?number}} which
 * @param {import("./loglines.mjs").Line} line
 */
export function showWhole({ namespace, project, job, attempt }, line) {
  const text = el("pre", { class: "log-whole", tabindex: 0, "aria-label": `Line ${line.number + 1}` });
  const state = el("p", { class: "faint", role: "status" });
  const more = el("button", { type: "button", onclick: read }, "Show more");
  const dialog = el("dialog", { class: "log-dialog", "aria-label": `Line ${line.number + 1} of the log` },
    el("header", { class: "row" }, el("h2", { text: `Line ${line.number + 1}` }),
      el("button", { type: "button", class: "quiet end", onclick: () => dialog.close() }, "Close")),
    text, el("footer", { class: "row" }, state, more));
  const [number, offset] = line.spot.split(":").map(Number);
  let shown = 0;

  async function read() {
    more.disabled = true;
    const from = `${number}:${offset + shown * PIECE}`;
    try {
      const path = `${pathOf(namespace, project, job)}/log`;
      const { lines } = await get(path, { attempt, from, count: 1 });
      const found = lines[0] ?? { text: "", cut: false };
      shown += 1;
      text.append(...found.text.split("\r").flatMap((part, turn) => [turn ? "\n" : "", ...spans(part)]));
      more.hidden = !found.cut;
      state.textContent = found.cut
        ? `${bytes(shown * PIECE)} of ${bytes(line.size)} are shown.` : `All ${bytes(line.size)} are shown.`;
    } catch (error) {
      replace(state, problem(error));
    }
    more.disabled = false;
  }

  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  read();
}

/** A text in its colours, as nodes. */
export function spans(text) {
  return pieces(text).map((piece) =>
    (piece.classes ? el("span", { class: piece.classes, text: piece.text }) : piece.text));
}
