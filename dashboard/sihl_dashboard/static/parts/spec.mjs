/** The settings as they ran, defaults filled in: what was chosen stands out, what was not is dimmed. */

import { address, pathOf } from "../api.mjs";
import { el, replace, write } from "../dom.mjs";
import { count } from "../format.mjs";
import { onView, setView, view } from "../view.mjs";

/**
 * @param {HTMLElement} root
 * @param {{namespace: string, project: string, job: ?Object}} props the job as the server answers it; its
 *   `given` is the spec without what equals a default
 */
export function spec(root, props) {
  const find = el("input", { type: "search", placeholder: "Search settings", "aria-label": "Search settings",
    value: view().get("setting") ?? "", oninput: () => setView({ setting: find.value }) });
  const only = el("input", { type: "checkbox", checked: view().has("chosen"),
    onchange: () => setView({ chosen: only.checked }) });
  const tally = el("span", { class: "faint small", role: "status" });
  const again = el("a", { class: "end" }, "As a new job’s YAML");
  const rows = el("tbody", {});
  let job = null;
  let drawn = "";
  const unknown = el("p", { class: "empty", hidden: true }, "The record does not tell what ran.");
  const known = [
    el("div", { class: "row tools" }, find, el("label", { class: "check" }, only, "Chosen ones only"), tally,
      again),
    el("div", { class: "scroll settings", tabindex: 0, role: "region", "aria-label": "Settings" },
      el("table", {},
        el("thead", { class: "unseen" }, el("tr", {}, ["Setting", "Value", "Where from"].map((text) =>
          el("th", { scope: "col", text })))), rows)),
  ];
  replace(root, unknown, known);

  function draw() {
    if (!job) return;
    const wanted = (view().get("setting") ?? "").trim().toLowerCase();
    const chosenOnly = view().has("chosen");
    const all = settings(job);
    unknown.hidden = all.length > 0;
    for (const node of known) node.hidden = !unknown.hidden;
    const shown = all.filter((each) => (!chosenOnly || !each.isDefault)
      && (!wanted || `${each.path} ${each.value}`.toLowerCase().includes(wanted)));
    const key = JSON.stringify(shown);
    if (key === drawn) return;
    drawn = key;
    replace(rows, shown.map(row));
    write(tally, shown.length === all.length ? count(all.length, "setting")
      : `${shown.length} of ${count(all.length, "setting")}`);
  }

  function update({ namespace, project, job: next }) {
    if (!next || typeof next !== "object") return;
    job = next;
    again.setAttribute("href", address(`${pathOf(namespace, project, job.job)}/manifest.yaml`));
    draw();
  }

  const end = onView(() => {
    const text = view().get("setting") ?? "";
    if (find.value !== text) find.value = text;
    only.checked = view().has("chosen");
    draw();
  });
  update(props);
  return { update, destroy: end };
}

function row({ path, value, isDefault }) {
  const cut = path.lastIndexOf(".") + 1;
  return el("tr", { class: isDefault ? "default" : "chosen" },
    el("th", { scope: "row" }, el("span", { class: "faint", text: path.slice(0, cut) }), el("wbr"), path.slice(cut)),
    el("td", { class: "mono hash", text: value }),
    el("td", { class: "faint small time", text: isDefault ? "default" : "" }));
}

/**
 * All of a job's settings, flat: by path, the value in words, and whether it equals the default.
 *
 * @param {Object} job
 * @returns {Array<{path: string, value: string, isDefault: boolean}>}
 */
export function settings(job) {
  const given = job.given ? new Map(flat(job.given)) : null;
  if (!Object.keys(job.spec ?? {}).length) return [];
  return flat(job.spec).map(([path, value]) => ({
    path, value: spelled(value), isDefault: given !== null && !given.has(path),
  }));
}

/** Leaves by their paths; lists whose items have names, as heads, by those. */
export function flat(value, path = "", depth = 0) {
  const named = Array.isArray(value) ? byName(value) : null;
  const held = named ?? value;
  if (held === null || typeof held !== "object" || Array.isArray(held) || depth > 20
    || !Object.keys(held).length) return [[path, value]];
  return Object.entries(held).flatMap(([name, child]) =>
    flat(child, path ? `${path}.${name}` : name, depth + 1));
}

function byName(items) {
  if (!items.length || !items.every((each) => typeof each?.name === "string")) return null;
  const named = Object.fromEntries(items.map(({ name, ...rest }) => [name, rest]));
  return Object.keys(named).length === items.length ? named : null;
}

function spelled(value) {
  if (value === null || value === undefined) return "none";
  if (typeof value === "number") return String(value); // exactly: it is typed in again as it stands
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return value === "" ? "“”" : value;
  const text = JSON.stringify(value);
  return text === "{}" || text === "[]" ? "none" : text;
}
