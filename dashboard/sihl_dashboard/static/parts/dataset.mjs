/** What a job learnt from: its dataset's fingerprint, to be told from another's. */

import { el, replace, styled } from "../dom.mjs";
import { bytes, count, integer, number } from "../format.mjs";

const FIRST = 12;

/**
 * @param {HTMLElement} root
 * @param {{job: ?Object}} props the job as the server answers it
 */
export function dataset(root, props) {
  let drawn = "";
  function update({ job }) {
    if (!job || typeof job !== "object") return;
    const told = job.document?.dataset ?? null;
    root.parentElement.hidden = !told;
    const key = JSON.stringify(told);
    if (key === drawn) return;
    drawn = key;
    replace(root, Object.entries(told ?? {}).filter(([, split]) => split).map(([name, split]) => part(name, split)));
  }
  update(props);
  return { update, destroy() {} };
}

function part(name, split) {
  return el("section", { class: "split" },
    el("h3", {}, name, " ", el("span", { class: "faint small",
      text: `${count(split.images, "image")}, ${bytes(split.bytes)}` }), " ", digest("objects", split.objects)),
    Object.entries(split.annotations ?? {}).map(([set, told]) => annotations(set, told)));
}

function annotations(set, told) {
  return el("div", { class: "annotations" },
    el("h4", {}, set, " ", el("span", { class: "faint small",
      text: `${told.task}, ${count(told.images, "image")} annotated` }), " ", digest("annotations", told.digest)),
    told.counts ? bars(Object.entries(told.counts).sort((a, b) => b[1] - a[1]), told.others, set) : null,
    told.histogram ? bars(told.histogram.counts.map((amount, index) => [
      `${number(told.histogram.edges[index], 3)} to ${number(told.histogram.edges[index + 1], 3)}`, amount,
    ]), 0, set) : null);
}

function bars(pairs, others, set) {
  const most = Math.max(1, ...pairs.map(([, amount]) => amount));
  const body = el("tbody", {}, pairs.map(([name, amount], index) => el("tr", { hidden: index >= FIRST },
    el("th", { scope: "row", text: name }),
    el("td", { class: "num", text: integer(amount) }),
    el("td", { class: "share", "aria-hidden": "true" }, scaled(amount / most)))));
  const rest = pairs.length - FIRST;
  const more = rest > 0 ? el("button", { type: "button", class: "quiet small", onclick: () => {
    for (const each of body.children) each.hidden = false;
    more.remove();
  } }, `${rest} more`) : null;
  return [
    el("table", { class: "counts" }, el("caption", { class: "unseen", text: `Annotated in ${set}` }), body),
    more,
    others ? el("p", { class: "faint small", text: `${integer(others)} in further categories` }) : null,
  ];
}

function scaled(part) {
  const bar = el("span", { class: "share-bar" });
  styled(bar, { "--part": part });
  return bar;
}

/** A hash in short; whole where one points at it. */
function digest(what, value) {
  return value ? el("code", { class: "faint", title: `sha256 of its ${what}: ${value}`,
    text: String(value).slice(0, 8) }) : null;
}
