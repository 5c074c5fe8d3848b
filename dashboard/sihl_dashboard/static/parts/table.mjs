/** A project's jobs as a table of which only the rows in sight exist. */
import { el, keyed, replace, write } from "../dom.mjs";
import { signed } from "../format.mjs";
import { href, link } from "../view.mjs";
import { swatch } from "./colours.mjs";
import { labelsOf } from "./jobnames.mjs";
import { askedPath, cellText, grouped, isMetric, labelOf, meanOf, verdict } from "./jobsmodel.mjs";

const ROW = 34;
const AHEAD = 8;

/**
 * @typedef {object} TableProps
 * @property {string} namespace
 * @property {string} project
 * @property {import("./jobsmodel.mjs").Row[]} rows
 * @property {string[]} columns
 * @property {string[]} chosen folders
 * @property {string|null} baseline folder
 * @property {Object<string, "higher"|"lower"|null>} better by metric
 * @property {string} sort
 * @property {string|null} group
 * @property {"best"|"last"} which
 * @property {(job: string, isChosen: boolean) => void} onChoose
 * @property {(job: string|null) => void} onBaseline
 * @property {(sort: string) => void} onSort
 * @property {(job: string) => void} onOpen
 */

/**
 * @param {HTMLElement} root
 * @param {TableProps} props
 * @returns {{update(props: Partial<TableProps>): void, destroy(): void}}
 */
export function table(root, props) {
  const head = el("tr", { "aria-rowindex": "1" });
  const body = el("tbody", {});
  const grid = el(
    "table",
    { class: "jobs-table" },
    el(
      "caption",
      { class: "unseen" },
      "Jobs of the project. Arrow keys move, Space chooses a job, B makes it the baseline, Enter opens it.",
    ),
    el("thead", {}, head),
    body,
  );
  const box = el("div", { class: "jobs-scroll", tabindex: "-1", onscroll: () => soon() }, grid);
  const nothing = el("p", { class: "empty" }, "There is no job here, or none that the filter lets through.");
  root.append(box, nothing);

  let items = [];
  let active = 0;
  let frame = 0;
  let headKey = "";
  /** Grows when rows that stay in sight may have to say something else. */
  let version = 0;
  let base = null;
  let labels = new Map();
  const folded = new Set();

  const keyOf = (item) => (item.kind === "group" ? `group ${item.key}` : item.row.job);
  const soon = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      paint();
    });
  };

  function arrange() {
    version++;
    const path = props.group && askedPath(props.group, props.which);
    base = props.rows.find((row) => row.job === props.baseline) ?? null;
    labels = labelsOf(props.rows.map((row) => row.job));
    nothing.hidden = props.rows.length > 0;
    box.hidden = !nothing.hidden;
    items = grouped(props.rows, path, folded);
    active = Math.max(0, Math.min(active, items.length - 1));
    grid.setAttribute("aria-rowcount", String(items.length + 1));
    title();
    paint();
  }

  function title() {
    const numeric = props.columns.map((path) =>
      props.rows.some((row) => typeof row.values[askedPath(path, props.which)] === "number"),
    );
    const key = JSON.stringify([props.columns, props.sort, props.which, numeric]);
    if (key === headKey) return;
    headKey = key;
    replace(
      head,
      el("td", { class: "jobs-tick" }),
      heading("name", "Job", false),
      el("th", { scope: "col" }, "Baseline"),
      props.columns.map((path, index) => heading(path, labelOf(path, props.columns), numeric[index])),
    );
  }

  function heading(path, label, isNumeric) {
    const name = props.sort.replace(/^-/, "");
    const isSorted = name === path;
    const isDown = props.sort.startsWith("-");
    const next = isSorted ? (isDown ? path : `-${path}`) : path === "name" ? path : `-${path}`;
    const tell = isMetric(path) && !path.includes(":") ? `${path} (${props.which})` : path;
    return el(
      "th",
      {
        scope: "col",
        class: isNumeric ? "jobs-head num" : "jobs-head",
        "aria-sort": isSorted ? (isDown ? "descending" : "ascending") : null,
      },
      el(
        "button",
        { type: "button", class: "quiet", title: `Sort by ${tell}`, onclick: () => props.onSort(next) },
        el("span", {}, label),
        el("span", { "aria-hidden": "true" }, isSorted ? (isDown ? "↓" : "↑") : ""),
      ),
    );
  }

  /** The rows in sight, between two that stand for all others. */
  function paint() {
    const from = Math.max(0, Math.floor(box.scrollTop / ROW) - AHEAD);
    const until = Math.min(items.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + AHEAD);
    const shown = items.slice(from, until).map((item, index) => ({ item, at: from + index }));
    const gap = (name, rows) => ({ gap: name, height: rows * ROW });
    keyed(
      body,
      [gap("above", from), ...shown, gap("below", items.length - until)],
      (each) => each.gap ?? `${keyOf(each.item)} ${props.columns.length}`,
      create,
    );
  }

  function create(each) {
    if (each.gap) return spacer();
    return each.item.kind === "group" ? groupRow(each.item) : jobRow(each.item.row.job);
  }

  function groupRow({ key }) {
    const fold = el("button", {
      type: "button",
      class: "quiet",
      onclick: () => {
        if (!folded.delete(key)) folded.add(key);
        arrange();
      },
    });
    const node = el("tr", { class: "jobs-group" });
    return {
      node,
      update({ item, at }) {
        node.setAttribute("aria-rowindex", String(at + 2));
        const isOpen = !folded.has(key);
        fold.setAttribute("aria-expanded", String(isOpen));
        write(
          fold,
          `${isOpen ? "▾" : "▸"} ${labelOf(props.group, [])}: ${cellText(props.group, item.value)} · ${item.rows.length}`,
        );
        replace(
          node,
          el("td", {}),
          el("th", { scope: "rowgroup", colspan: "2" }, fold),
          props.columns.map((path) => {
            const mean = isMetric(path) ? meanOf(item.rows, askedPath(path, props.which)) : null;
            return el("td", { class: "num" }, mean === null ? "" : `mean ${cellText(path, mean)}`);
          }),
        );
      },
    };
  }

  function jobRow(job) {
    const tick = el("input", {
      type: "checkbox",
      onchange: () => props.onChoose(job, tick.checked),
    });
    const star = el("button", {
      type: "button",
      class: "quiet",
      onclick: () => props.onBaseline(props.baseline === job ? null : job),
    });
    const name = link(href(props.namespace, props.project, job), { class: "jobs-name", title: job });
    const mark = el("span", { class: "jobs-mark" });
    const cells = props.columns.map(() => el("td", {}));
    let stamp = "";
    const node = el(
      "tr",
      { data: { job } },
      el("td", { class: "jobs-tick" }, tick),
      el("th", { scope: "row" }, mark, name),
      el("td", {}, star),
      cells,
    );
    return {
      node,
      update({ item, at }) {
        const next = `${version} ${at} ${at === active}`;
        if (next === stamp) return;
        stamp = next;
        const isChosen = props.chosen.includes(job);
        const isBase = props.baseline === job;
        node.setAttribute("aria-rowindex", String(at + 2));
        node.classList.toggle("is-chosen", isChosen);
        for (const control of [tick, star, name]) control.tabIndex = at === active ? 0 : -1;
        tick.checked = isChosen;
        tick.setAttribute("aria-label", `Choose ${labels.get(job)}`);
        write(name, labels.get(job));
        if (isChosen !== mark.hasChildNodes()) replace(mark, isChosen ? swatch(job) : null);
        star.setAttribute("aria-pressed", String(isBase));
        star.setAttribute("aria-label", `Baseline: ${labels.get(job)}`);
        write(star, isBase ? "★ baseline" : "☆");
        props.columns.forEach((path, index) => fill(cells[index], path, item.row));
      },
    };
  }

  function fill(cell, path, row) {
    const asked = askedPath(path, props.which);
    const value = row.values[asked];
    cell.className = typeof value === "number" ? "num" : "";
    const delta = deltaOf(row, path, asked);
    const text = cellText(path, value);
    if (delta === null) {
      write(cell, text);
      return;
    }
    const word = verdict(delta, props.better[path]);
    replace(
      cell,
      text,
      " ",
      el("span", { class: `delta is-${word ?? "same"}` }, `${signed(delta, 3)}${word ? ` ${word}` : ""}`),
    );
  }

  function deltaOf(row, path, asked) {
    if (!isMetric(path) || !base || row.job === base.job || path.endsWith(":step")) return null;
    const [value, other] = [row.values[asked], base.values[asked]];
    return typeof other === "number" && typeof value === "number" ? value - other : null;
  }

  function move(to) {
    active = Math.max(0, Math.min(items.length - 1, to));
    const top = active * ROW;
    const room = box.clientHeight - ROW * 2;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top > box.scrollTop + room) box.scrollTop = top - room;
    paint();
    const row = body.querySelector(`[aria-rowindex="${active + 2}"]`);
    row?.querySelector("input, button")?.focus({ preventScroll: true });
  }

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(box.clientHeight / ROW) - 2);
    const moves = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: items.length - 1,
    };
    const job = items[active]?.row?.job;
    if (event.key in moves) move(moves[event.key]);
    else if (event.key.toLowerCase() === "b" && job) props.onBaseline(props.baseline === job ? null : job);
    else if (event.key === "Enter" && job && event.target.matches("input")) props.onOpen(job);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  body.addEventListener("keydown", pressed);
  body.addEventListener("focusin", (event) => {
    const at = Number(event.target.closest("tr")?.getAttribute("aria-rowindex")) - 2;
    if (at >= 0 && at !== active) {
      active = at;
      soon();
    }
  });
  const resized = new ResizeObserver(soon);
  resized.observe(box);
  arrange();

  return {
    update(next) {
      props = { ...props, ...next };
      arrange();
    },
    destroy() {
      cancelAnimationFrame(frame);
      resized.disconnect();
      box.remove();
      nothing.remove();
    },
  };
}

function spacer() {
  const cell = el("td", { colspan: "100" });
  const node = el("tr", { class: "jobs-gap", "aria-hidden": "true" }, cell);
  return {
    node,
    update({ height }) {
      node.hidden = height <= 0;
      cell.style.setProperty("height", `${height}px`);
    },
  };
}
