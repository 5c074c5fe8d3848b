/** Parallel coordinates: what was tried, from left to right, and what came of it at the end. */
import { el, replace, svg } from "../dom.mjs";
import { lookOf } from "./colours.mjs";
import { nameOfJob } from "./jobnames.mjs";
import { askedPath, cellText, labelOf } from "./jobsmodel.mjs";
import { axisOf, conditionsOf, placeOn } from "./parallelaxes.mjs";

const HEIGHT = 250;
const SIDE = 60;
const BEYOND = 10;
const LEAST_GAP = 120;
const DRAG_PX = 6;
const MOST_LINES = 500;

/**
 * @typedef {object} ParallelProps
 * @property {import("./jobsmodel.mjs").Row[]} rows
 * @property {string[]} settings paths
 * @property {string|null} metric
 * @property {string[]} metrics to choose from
 * @property {"best"|"last"} which value of it counts
 * @property {string[]} chosen folders
 * @property {Object<string, {isFlipped?: boolean, isLog?: boolean}>} choices by path
 * @property {(choices: object) => void} onChoices
 * @property {(metric: string) => void} onMetric
 * @property {(job: string, isChosen: boolean) => void} onChoose
 * @property {(conditions: string[]) => void} onFilter
 */

/**
 * @param {HTMLElement} root
 * @param {ParallelProps} props
 * @returns {{update(props: Partial<ParallelProps>): void, destroy(): void}}
 */
export function parallel(root, props) {
  const metric = el("select", { onchange: () => props.onMetric(metric.value) });
  const choice = el("label", { class: "check" }, el("span", { class: "faint small" }, "Metric"), metric);
  const note = el("p", { class: "faint small" });
  const heads = el("div", { class: "parallel-heads" });
  const picture = svg("svg", { class: "parallel-picture", role: "img" });
  const box = el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Parallel coordinates" },
    heads,
    picture,
  );
  const whole = el(
    "div",
    { class: "parallel" },
    el(
      "div",
      { class: "row" },
      choice,
      note,
    ),
    box,
  );
  root.append(whole);
  let shown = "";
  let offered = null;

  const pathAsked = (path) => askedPath(path, props.which);

  function axes() {
    const paths = [...props.settings, ...(props.metric ? [props.metric] : [])];
    return paths
      .map((path) =>
        axisOf(
          pathAsked(path),
          props.rows.map((row) => row.values[pathAsked(path)]),
          props.choices[path],
        ),
      )
      .map((axis, index) => axis && { ...axis, key: paths[index] })
      .filter(Boolean);
  }

  function render() {
    const found = axes();
    const width = Math.max(box.clientWidth || 600, SIDE * 2 + LEAST_GAP * (found.length - 1));
    const key = JSON.stringify([
      found,
      width,
      props.chosen,
      props.metrics,
      props.rows.length,
      props.rows.map((row) => row.values),
    ]);
    if (key === shown) return;
    shown = key;
    offer();
    const isEmpty = found.length < 2;
    heads.hidden = isEmpty;
    picture.classList.toggle("is-empty", isEmpty);
    note.textContent = isEmpty
      ? "There is not enough that differs among these jobs."
      : `${lined(found).length} jobs; drag along an axis to filter the table.`;
    if (isEmpty) return;
    const gap = (width - 2 * SIDE) / (found.length - 1);
    const at = (index) => SIDE + index * gap;
    heads.style.setProperty("width", `${width}px`);
    const focused = document.activeElement?.closest?.("[data-axis]")?.dataset.axis;
    replace(
      heads,
      found.map((axis, index) => head(axis, found, at(index), gap)),
    );
    if (focused) heads.querySelector(`[data-axis="${CSS.escape(focused)}"]`)?.focus();
    picture.setAttribute("width", String(width));
    picture.setAttribute("height", String(HEIGHT + 40));
    picture.setAttribute(
      "aria-label",
      `${lined(found).length} jobs over ${found.map((axis) => axis.key).join(", ")}. The table has the values.`,
    );
    replace(
      picture,
      lines(found, at),
      found.map((axis, index) => upright(axis, at(index))),
    );
  }

  function offer() {
    const names = props.metrics.join("\n");
    if (names !== offered) {
      offered = names;
      choice.hidden = !names;
      replace(
        metric,
        props.metrics.map((path) => el("option", { value: path }, path)),
      );
    }
    metric.value = props.metric ?? "";
  }

  function head(axis, all, x, gap) {
    const choose = (choice) => () => {
      props.onChoices({ ...props.choices, [axis.key]: { ...props.choices[axis.key], ...choice } });
    };
    const node = el(
      "div",
      { class: "parallel-head" },
      el(
        "span",
        { title: axis.key },
        labelOf(
          axis.key,
          all.map((each) => each.key),
        ),
      ),
      el(
        "span",
        {},
        el(
          "button",
          {
            type: "button",
            class: "quiet",
            "aria-pressed": String(axis.isFlipped),
            "aria-label": `Flip ${axis.key}`,
            title: "Flip",
            data: { axis: `${axis.key} isFlipped` },
            onclick: choose({ isFlipped: !axis.isFlipped }),
          },
          "⇅",
        ),
        axis.kind === "number" && axis.low > 0
          ? el(
              "button",
              {
                type: "button",
                class: "quiet",
                "aria-pressed": String(axis.isLog),
                "aria-label": `Log scale for ${axis.key}`,
                data: { axis: `${axis.key} isLog` },
                onclick: choose({ isLog: !axis.isLog }),
              },
              "log",
            )
          : null,
      ),
    );
    node.style.setProperty("left", `${x}px`);
    node.style.setProperty("width", `${Math.min(gap, 200)}px`);
    return node;
  }

  const y = (place) => 14 + (1 - place) * HEIGHT;

  function lined(all) {
    return props.rows
      .filter((row) => all.filter((axis) => placeOn(axis, row.values[axis.path]) !== null).length > 1)
      .slice(0, MOST_LINES);
  }

  /** The chosen ones last, so that they lie above the others. */
  function lines(all, at) {
    const isChosen = (row) => props.chosen.includes(row.job);
    const rows = lined(all);
    return [...rows.filter((row) => !isChosen(row)), ...rows.filter(isChosen)].map((row) => {
      const points = all.flatMap((axis, index) => {
        const place = placeOn(axis, row.values[axis.path]);
        return place === null ? [] : [`${at(index).toFixed(1)},${y(place).toFixed(1)}`];
      });
      const { colour, dash } = isChosen(row) ? lookOf(row.job) : {};
      return svg(
        "polyline",
        {
          points: points.join(" "),
          class: isChosen(row) ? `parallel-line is-chosen curve-${colour}` : "parallel-line",
          "stroke-dasharray": dash?.length ? dash.join(" ") : null,
          onclick: () => props.onChoose(row.job, !isChosen(row)),
        },
        svg("title", {}, title(row, all)),
      );
    });
  }

  function title(row, all) {
    return [nameOfJob(row.job), ...all.map((axis) => `${axis.key}: ${row.values[axis.path] ?? "–"}`)].join(
      "\n",
    );
  }

  function upright(axis, x) {
    const ends =
      axis.kind === "number"
        ? [
            [axis.low, cellText(axis.key, axis.low)],
            [axis.high, cellText(axis.key, axis.high)],
          ]
        : axis.categories.map((value) => [value, value]);
    const band = svg("rect", { class: "parallel-band", x: x - 9, width: 18, y: 0, height: 0 });
    // Beyond both ends: whoever begins at one means the values there.
    const handle = svg("rect", { class: "parallel-handle", x: x - 12, y: 14 - BEYOND, width: 24,
      height: HEIGHT + 2 * BEYOND });
    handle.addEventListener("pointerdown", (event) => brush(event, axis, handle, band));
    return svg(
      "g",
      {},
      svg("line", { class: "parallel-axis", x1: x, x2: x, y1: y(1), y2: y(0) }),
      handle,
      band,
      ends.map(([value, text]) =>
        svg(
          "text",
          {
            class: "parallel-text",
            x: x + 6,
            y: y(placeOn(axis, value)) + besides(placeOn(axis, value)),
          },
          text.length > 18 ? `${text.slice(0, 17)}…` : text,
        ),
      ),
    );
  }

  /** At the ends below and above the lines that come there. */
  const besides = (place) => (place < 0.02 ? 14 : place > 0.98 ? -4 : 4);

  function brush(event, axis, handle, band) {
    const from = event.offsetY;
    handle.setPointerCapture(event.pointerId);
    const clamped = (at) => Math.min(y(0), Math.max(y(1), at));
    const drag = (moved) => {
      const [top, bottom] = [from, moved.offsetY].map(clamped).sort((a, b) => a - b);
      band.setAttribute("y", String(top));
      band.setAttribute("height", String(bottom - top));
    };
    const place = (at) => 1 - (clamped(at) - 14) / HEIGHT;
    handle.addEventListener("pointermove", drag);
    handle.addEventListener(
      "pointerup",
      (up) => {
        handle.removeEventListener("pointermove", drag);
        band.setAttribute("height", "0");
        if (Math.abs(up.offsetY - from) < DRAG_PX) return;
        const conditions = conditionsOf(axis, place(from), place(up.offsetY));
        if (conditions.length) props.onFilter(conditions);
      },
      { once: true },
    );
  }

  const resized = new ResizeObserver(render);
  resized.observe(box);
  render();
  return {
    update(next) {
      props = { ...props, ...next };
      render();
    },
    destroy() {
      resized.disconnect();
      whole.remove();
    },
  };
}
