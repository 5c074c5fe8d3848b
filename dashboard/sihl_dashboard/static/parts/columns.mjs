/** The dialog in which a table's columns are chosen. */
import { el, replace, uniqueId } from "../dom.mjs";

const MOST_SHOWN = 200;

/**
 * @param {{onColumns: (columns: string[]|null) => void}} props null: those to begin with
 */
export function columnsDialog({ onColumns }) {
  let all = {};
  let chosen = [];
  const id = uniqueId("columns");
  const search = el("input", {
    type: "search",
    "aria-label": "Search columns",
    placeholder: "Search",
    autocomplete: "off",
    oninput: render,
  });
  const list = el("ul", { class: "columns-list plain" });
  const note = el("p", { class: "faint small", role: "status" });
  const dialog = el(
    "dialog",
    { class: "columns", "aria-labelledby": id },
    el("header", { class: "row" }, el("h2", { id }, "Columns"), search),
    note,
    list,
    el(
      "footer",
      {},
      el("button", { type: "button", onclick: () => finish(null) }, "As at first"),
      el("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Done"),
    ),
  );
  document.body.append(dialog);

  function finish(columns) {
    onColumns(columns);
    dialog.close();
  }

  function toggle(path, isOn) {
    chosen = isOn ? [...chosen, path] : chosen.filter((each) => each !== path);
    onColumns(chosen);
  }

  /** Chosen ones first, then those in which jobs differ. */
  function render() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rank = (path) => (chosen.includes(path) ? 0 : all[path] ? 1 : 2);
    const found = [...new Set([...chosen, ...Object.keys(all)])]
      .filter((path) => words.every((word) => path.toLowerCase().includes(word)))
      .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
    const rest = found.length - MOST_SHOWN;
    note.textContent = rest > 0 ? `and ${rest} more: search for them` : `${found.length} columns`;
    replace(
      list,
      found
        .slice(0, MOST_SHOWN)
        .map((path) =>
          el(
            "li",
            {},
            el(
              "label",
              { class: "check" },
              el("input", {
                type: "checkbox",
                checked: chosen.includes(path),
                onchange: (event) => toggle(path, event.target.checked),
              }),
              el("span", { class: "mono" }, path),
              all[path] ? el("span", { class: "tag" }, "differs") : null,
            ),
          ),
        ),
    );
  }

  return {
    open(columns, shown) {
      all = columns;
      chosen = [...shown];
      search.value = "";
      render();
      dialog.showModal();
    },
    destroy() {
      dialog.remove();
    },
  };
}
