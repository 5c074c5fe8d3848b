/** Above the table of jobs: filter, columns, group, best or last, export. */
import { el, replace, uniqueId, write } from "../dom.mjs";
import { count } from "../format.mjs";
import { columnsDialog } from "./columns.mjs";
import { OPERATORS, conditionText, labelOf } from "./jobsmodel.mjs";

const PATIENCE_MS = 150;

/**
 * @typedef {object} BarProps
 * @property {import("./compareview.mjs").CompareView} view
 * @property {Object<string, boolean>} all columns there are, and whether jobs differ in them
 * @property {string[]} columns shown
 * @property {{shown: number, total: number, chosen: number}} counts
 * @property {{at: number, looked: number, due: number, isUnderWay: boolean}} look the server's at the store
 * @property {{csv: string, json: string}} exports addresses
 * @property {(changes: Partial<import("./compareview.mjs").CompareView>) => void} onView
 * @property {(isAll: boolean) => void} onChooseAll
 */

/**
 * @param {HTMLElement} root
 * @param {BarProps} props
 */
export function tableBar(root, props) {
  let waiting = 0;
  const paths = uniqueId("paths");
  const names = el("datalist", { id: paths });
  const search = el("input", {
    type: "search",
    placeholder: "Name",
    "aria-label": "Filter jobs by name",
    autocomplete: "off",
    oninput: () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => props.onView({ text: search.value.trim() }), PATIENCE_MS);
    },
  });
  const path = el("input", {
    list: paths,
    placeholder: "spec.training.seed",
    "aria-label": "Filter: field",
    autocomplete: "off",
    required: true,
  });
  const operator = el(
    "select",
    { "aria-label": "Filter: comparison" },
    Object.entries(OPERATORS).map(([value, text]) => el("option", { value }, text)),
  );
  const value = el("input", {
    placeholder: "value",
    "aria-label": "Filter: value",
    autocomplete: "off",
    required: true,
  });
  const form = el(
    "form",
    { class: "jobs-filter", onsubmit: add },
    path,
    operator,
    value,
    el("button", { type: "submit" }, "Filter"),
  );
  const chips = el("ul", { class: "jobs-chips", "aria-label": "Filters" });
  const group = el("select", { onchange: () => props.onView({ group: group.value || null }) });
  const which = el(
    "select",
    { onchange: () => props.onView({ which: which.value }) },
    el("option", { value: "best" }, "best"),
    el("option", { value: "last" }, "last"),
  );
  const first = el("input", {
    type: "checkbox",
    onchange: () => props.onView({ chosenFirst: first.checked }),
  });
  const told = el("p", { class: "faint jobs-count", role: "status" });
  const csv = el("a", { download: "" }, "CSV");
  const json = el("a", { download: "" }, "JSON");
  const dialog = columnsDialog({ onColumns: (columns) => props.onView({ columns }) });

  root.append(
    el(
      "div",
      { class: "jobs-bar" },
      search,
      form,
      names,
      field("Group by", group),
      field("Metrics", which),
      el("button", { type: "button", onclick: () => dialog.open(props.all, props.columns) }, "Columns …"),
      el("label", { class: "check" }, first, "Chosen first"),
      el(
        "span",
        { class: "row end" },
        el("button", { type: "button", onclick: () => props.onChooseAll(true) }, "Choose all"),
        el("button", { type: "button", onclick: () => props.onChooseAll(false) }, "Choose none"),
        el("span", {}, "Export ", csv, " ", json),
      ),
    ),
    chips,
    told,
  );

  function add(event) {
    event.preventDefault();
    const condition = `${path.value.trim()}:${operator.value}:${value.value.trim()}`;
    props.onView({ where: [...new Set([...props.view.where, condition])] });
    path.value = value.value = "";
    path.focus();
  }

  function chip(condition) {
    const text = conditionText(condition);
    return el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          title: "Take this filter away",
          onclick: () => {
            props.onView({ where: props.view.where.filter((each) => each !== condition) });
            search.focus();
          },
        },
        text,
        el("span", { "aria-hidden": "true" }, "×"),
      ),
    );
  }

  let knownPaths = "";
  function offer() {
    const known = Object.keys(props.all).sort();
    const key = `${known.length} ${props.columns.join()} ${props.view.group}`;
    if (key === knownPaths) return;
    knownPaths = key;
    replace(
      names,
      known.slice(0, 2000).map((each) => el("option", { value: each })),
    );
    const groups = new Set(
      ["job.state", ...props.columns.filter((each) => !/At$/.test(each)), props.view.group].filter(Boolean),
    );
    replace(
      group,
      el("option", { value: "" }, "nothing"),
      [...groups].map((each) => el("option", { value: each }, labelOf(each, [...groups]))),
    );
  }

  function render() {
    const { view, counts, look, exports } = props;
    offer();
    if (document.activeElement !== search) search.value = view.text;
    group.value = view.group ?? "";
    which.value = view.which;
    first.checked = view.chosenFirst;
    csv.setAttribute("href", exports.csv);
    json.setAttribute("href", exports.json);
    replace(chips, view.where.map(chip));
    chips.hidden = !view.where.length;
    const all = counts.shown === counts.total ? "" : ` of ${counts.total}`;
    write(told, `${count(counts.shown, "job")}${all} · ${counts.chosen} chosen${reading(look)}`);
    if (reading(look)) told.setAttribute("aria-busy", "true");
    else told.removeAttribute("aria-busy");
  }
  render();

  return {
    update(next) {
      props = { ...props, ...next };
      render();
    },
    destroy() {
      clearTimeout(waiting);
      dialog.destroy();
    },
  };
}

/** Of jobs that nobody has looked at before, only those are shown that have been read. */
function reading({ at, looked, due, isUnderWay }) {
  if (at || !isUnderWay) return "";
  return ` · reading records${due ? `, ${looked} of ${due} so far` : ""} …`;
}

function field(label, control) {
  return el("label", { class: "check" }, el("span", { class: "faint small" }, label), control);
}
