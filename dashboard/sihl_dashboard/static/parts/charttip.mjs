/** What lies under the mouse: the values of the curves nearest to it. */
import { el } from "../dom.mjs";
import { positionText, valueText } from "./charttext.mjs";
import { swatch } from "./colours.mjs";

const MOST = 8;

/**
 * @param {HTMLElement} box the chart's, in which the tip lies
 */
export function tip(box) {
  const bubble = el("div", { class: "chart-tip", hidden: true, "aria-hidden": "true" });

  return {
    /** Lie over a plot that was just made. */
    attach(plot) {
      plot.over.append(bubble);
    },

    /** Follow the cursor; only where the mouse is, not in charts that move along. */
    show(plot, props, isShown) {
      const { left, top, idx, idxs } = plot.cursor;
      const isHere = idx != null && left >= 0 && plot.over.matches(":hover");
      const near = isHere ? nearest(plot, props, isShown, idxs, top) : [];
      bubble.hidden = near.length === 0;
      if (!near.length) return;
      bubble.replaceChildren(
        el("div", { class: "chart-tip-at" }, positionText(props.x[placeOf(near, idx)], props.axis)),
        ...near.map(({ line, at }) =>
          el(
            "div",
            { class: line.job === props.focused ? "chart-tip-row is-focused" : "chart-tip-row" },
            swatch(line.job),
            el("span", { class: "chart-tip-name" }, nameOf(line)),
            el("span", { class: "chart-tip-value" }, rangeText(line, at)),
          ),
        ),
      );
      bubble.style.setProperty("--tip-x", `${Math.round(left)}px`);
    },
  };
}

/** Where validations lie far apart, the values shown are not those of the bucket under the mouse. */
function placeOf(near, idx) {
  return near.every(({ at }) => at === near[0].at) ? near[0].at : idx;
}

function nearest(plot, props, isShown, idxs, top) {
  const found = [];
  props.lines.forEach((line, index) => {
    const at = idxs[index + 1];
    const value = at == null ? null : line.last[at];
    if (value == null || !isShown(index)) return;
    found.push({ line, at, value, away: Math.abs(plot.valToPos(value, "y") - top) });
  });
  found.sort((a, b) => a.away - b.away);
  return found.slice(0, MOST).sort((a, b) => b.value - a.value);
}

/** A line's name with its attempt, where that was superseded. */
export function nameOf(line) {
  return line.attempt === null ? line.label : `${line.label}, superseded (attempt ${line.attempt})`;
}

/** A bucket's last value, and its range where it holds more than one. */
export function rangeText(line, at) {
  const [least, most] = [line.min[at], line.max[at]];
  const last = valueText(line.last[at]);
  if (least == null || most == null || least === most) return last;
  return `${last} (${valueText(least)} … ${valueText(most)})`;
}
