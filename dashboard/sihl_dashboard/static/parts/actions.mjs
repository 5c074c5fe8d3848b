/** Stop, resume, priority, delete: with the viewer's own rights, where they may. */

import { send } from "../api.mjs";
import { announce, el, replace } from "../dom.mjs";
import { problem } from "./problem.mjs";

/**
 * @param {{namespace: string, project: string, job: string}} where
 * @param {{me: {canAct: boolean}, acted: function()}} options
 * @returns {{node: HTMLElement, update: function(?Object), destroy: function()}}
 */
export function actions(where, { me, acted }) {
  const node = el("div", { class: "row end actions" });
  const dialog = el("dialog", {});
  const failed = el("div", {});
  let live = null;
  let drawn = "";

  async function change(words, method, body) {
    replace(failed);
    for (const button of node.querySelectorAll("button")) button.disabled = true;
    try {
      await send(method, `/namespaces/${encodeURIComponent(where.namespace)}/trainingjobs/${
        encodeURIComponent(live.name)}`, body);
      announce(words);
      acted();
    } catch (error) {
      replace(failed, problem(error));
    } finally {
      for (const button of node.querySelectorAll("button")) button.disabled = false;
    }
  }

  function asked(title, text, verb, ...more) {
    const form = el("form", { method: "dialog" }, el("h2", { text: title }), el("p", { text }), more,
      el("footer", {}, el("button", { value: "no", formnovalidate: true }, "Cancel"),
        el("button", { value: "yes", class: verb === "Delete" ? "danger primary" : "primary" }, verb)));
    replace(dialog, form);
    dialog.returnValue = "";
    document.body.append(dialog);
    dialog.showModal();
    return new Promise((answer) => dialog.addEventListener("close",
      () => answer(dialog.returnValue === "yes"), { once: true }));
  }

  async function remove() {
    const active = ["Starting", "Running", "Stopping"].includes(live.phase);
    const text = `${active ? "It is stopped first. " : ""}Its record stays in the store, model included.`;
    if (await asked(`Delete ${live.name}?`, text, "Delete")) await change("Deleted", "DELETE");
  }

  async function prioritise() {
    const input = el("input", { type: "number", step: 1, min: -1_000_000, max: 1_000_000, required: true,
      value: String(live.priority ?? 0) });
    const field = el("label", { class: "field" }, el("span", { text: "Priority" }), input);
    const wanted = await asked(`Priority of ${live.name}`,
      "Higher first within its queue. What runs is not interrupted.", "Set", field);
    const priority = Number(input.value);
    if (wanted && Number.isInteger(priority)) await change(`Priority ${priority}`, "PATCH", { priority });
  }

  function update(next) {
    live = next;
    const key = live && me.canAct ? `${live.phase} ${live.suspend}` : "";
    if (key === drawn) return;
    drawn = key;
    const over = ["Succeeded", "Failed"].includes(live?.phase);
    replace(node, !key ? [] : [
      over ? null : live.suspend
        ? el("button", { type: "button", class: "primary",
          onclick: () => change("Queued again", "PATCH", { suspend: false }) }, "Resume")
        : el("button", { type: "button", title: "Stops with a checkpoint; it can be resumed",
          onclick: () => change("It stops with a checkpoint", "PATCH", { suspend: true }) }, "Stop"),
      over ? null : el("button", { type: "button", onclick: prioritise }, "Priority"),
      el("button", { type: "button", class: "danger", onclick: remove }, "Delete"),
      failed,
    ]);
  }

  return { node, update, destroy: () => dialog.remove() };
}
