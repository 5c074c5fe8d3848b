/** The final model, and how to fetch it. */

import { announce, el, replace } from "../dom.mjs";
import { bytes, dateTime, integer } from "../format.mjs";

/**
 * @param {HTMLElement} root
 * @param {{namespace: string, project: string, job: ?Object}} props the job as the server answers it
 */
export function model(root, props) {
  let drawn = "";
  function update({ namespace, job }) {
    if (!job || typeof job !== "object") return;
    const key = JSON.stringify(job.model ?? job.lacksModel);
    if (key === drawn) return;
    drawn = key;
    replace(root, job.model ? whole(namespace, job) : el("p", { class: "faint" },
      `It has none: ${job.lacksModel}. Checkpoints are the operator’s own.`));
  }
  update(props);
  return { update, destroy() {} };
}

function whole(namespace, job) {
  const told = job.model;
  const command = `kubectl sihl pull ${job.job}${job.live ? ` -n ${namespace}` : ""} --to model`;
  return [
    el("dl", { class: "facts" },
      fact("Of step", integer(told.step)), fact("Saved", dateTime(told.savedAt)),
      fact("In the store", told.key, "mono")),
    el("p", { class: "faint", text: "Fetch it whole, its checksums held:" }),
    copied(command),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The model’s files" }, el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col", text: "File" }),
        el("th", { scope: "col", class: "num", text: "Size" }), el("th", { scope: "col", text: "sha256" }))),
      el("tbody", {}, told.files.map((file) => el("tr", {},
        el("th", { scope: "row", text: file.name }), el("td", { class: "num", text: bytes(file.bytes) }),
        el("td", { class: "mono small faint hash", text: file.sha256 })))))),
  ];
}

function fact(title, value, look = "num") {
  return el("div", {}, el("dt", { text: title }), el("dd", { class: look, text: value }));
}

/** A command, to be copied by a click, or by hand where the browser refuses. */
function copied(command) {
  const text = el("code", { text: command });
  const button = el("button", { type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(command);
      announce("Copied");
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text);
      announce("Selected: copy it by Ctrl and C");
    }
  } }, "Copy");
  return el("div", { class: "command" }, el("pre", {}, text), button);
}
