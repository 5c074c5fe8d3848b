/** A chart's axes: what stands at their ticks. */
import { duration, integer } from "../format.mjs";

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

/** Seconds between ticks on the axis of time. */
const timeSteps = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000,
  864000, 2592000,
];

/** Steps and images between ticks: there is nothing between two of them. */
const wholeSteps = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((each) => each * 10 ** power)).flat();

/**
 * Both axes as uPlot wants them.
 * @param {CSSStyleDeclaration} styles of what the chart lies in
 * @param {"step"|"images"|"time"} axis
 */
export function axesOf(styles, axis) {
  const ink = styles.getPropertyValue("--chart-ink").trim();
  const grid = { stroke: styles.getPropertyValue("--chart-grid").trim(), width: 1 };
  const look = { stroke: ink, grid, ticks: grid, font: `12px ${styles.fontFamily}` };
  return [
    {
      ...look,
      size: 34,
      values: (_plot, ticks) => tickValues(ticks, axis),
      incrs: axis === "time" ? timeSteps : wholeSteps,
    },
    { ...look, size: (_plot, labels) => widthOf(labels ?? []), values: (_plot, ticks) => valueTicks(ticks) },
  ];
}

/**
 * Labels of the axis' ticks.
 * @param {(number|null)[]} ticks
 */
function tickValues(ticks, axis) {
  return ticks.map((tick) => {
    if (tick == null) return "";
    if (axis === "time") return duration(tick);
    return tick >= 1e5 ? short.format(tick) : integer(tick);
  });
}

/** Of the upright axis, in pixels: its labels stand there whole. */
function widthOf(labels) {
  return Math.max(58, ...labels.map((label) => 7 * label.length + 16));
}

/** Labels of the upright axis: round numbers, as short as they are. */
function valueTicks(ticks) {
  return ticks.map((tick) => {
    if (tick == null) return "";
    const size = Math.abs(tick);
    if (size >= 1e5 || (size > 0 && size < 1e-3))
      return tick.toExponential().replace("e+", "e").replace(/-/g, "−");
    return String(Number(tick.toPrecision(6))).replace("-", "−");
  });
}
