/** A chart's values as a table, for who reads no picture; made only when it is opened. */
import { el } from "../dom.mjs";
import { nameOf, rangeText } from "./charttip.mjs";
import { positionText } from "./charttext.mjs";

const PAGE = 25;

/**
 * @param {HTMLElement} root
 * @param {object} props the chart's
 * @returns {{update(props: object): void, destroy(): void}}
 */
export function valuesTable(root, props) {
  let page = 0;
  const body = el("div", { class: "chart-values-body" });
  const details = el("details", { class: "chart-values-fold" }, el("summary", {}, "Values as a table"), body);
  details.addEventListener("toggle", render);
  root.append(details);

  function render() {
    if (!details.open) {
      body.replaceChildren();
      return;
    }
    const lines = props.lines.filter((line) => !props.hidden.has(line.job));
    const rows = props.x
      .map((_x, at) => at)
      .filter(
        (at) =>
          lines.some((line) => line.last[at] != null) &&
          props.x[at] >= props.sight.first &&
          props.x[at] <= props.sight.last,
      );
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    page = Math.min(page, pages - 1);
    body.replaceChildren(pager(pages), tableOf(lines, rows.slice(page * PAGE, (page + 1) * PAGE)));
  }

  function pager(pages) {
    const turn = (by) => () => {
      page += by;
      render();
    };
    return el(
      "div",
      { class: "chart-pager" },
      el("button", { type: "button", disabled: page === 0, onclick: turn(-1) }, "Previous"),
      el("span", { "aria-live": "polite" }, `Page ${page + 1} of ${pages}`),
      el("button", { type: "button", disabled: page >= pages - 1, onclick: turn(1) }, "Next"),
    );
  }

  function tableOf(lines, rows) {
    const label = `Values of ${props.metric}`;
    return el(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
      el(
        "table",
        {},
        el("caption", { class: "unseen" }, label),
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col" }, "At"),
            ...lines.map((line) => el("th", { scope: "col" }, nameOf(line))),
          ),
        ),
        el(
          "tbody",
          {},
          ...rows.map((at) =>
            el(
              "tr",
              {},
              el("th", { scope: "row" }, positionText(props.x[at], props.axis)),
              ...lines.map((line) => el("td", {}, line.last[at] == null ? "" : rangeText(line, at))),
            ),
          ),
        ),
      ),
    );
  }

  return {
    update(next) {
      props = next;
      if (details.open) render();
    },
    destroy() {
      details.remove();
    },
  };
}
