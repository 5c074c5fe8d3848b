/** A chart's cursor by keys: what it reads is told as text. */
import { nearestValue, nextValue } from "./chartlines.mjs";
import { nameOf, rangeText } from "./charttip.mjs";
import { positionText } from "./charttext.mjs";
import { scaled, shifted } from "./chartpointer.mjs";

const LEAP = 20;

/**
 * @param {HTMLElement} box which has the focus
 * @param {object} context the chart's: its plot, props, and what it can do
 */
export function cursorKeys(box, context) {
  /** Where the cursor is: a line and one of its values. */
  let spot = null;

  const shownLines = () => context.props.lines.map((_line, index) => index).filter(context.isShown);

  function place() {
    const lines = shownLines();
    if (!lines.length) return null;
    const wanted = lines.find(
      (index) =>
        context.props.lines[index].job === context.props.focused &&
        context.props.lines[index].attempt === null,
    );
    const line = spot && lines.includes(spot.line) ? spot.line : (wanted ?? lines[lines.length - 1]);
    const values = context.props.lines[line].last;
    const at =
      spot && spot.line === line && values[spot.at] != null
        ? spot.at
        : nearestValue(values, spot?.at ?? values.length - 1);
    return at === null ? null : { line, at };
  }

  function along(count) {
    const { lines } = context.props;
    const direction = Math.sign(count);
    for (let left = Math.abs(count); left > 0; left--) {
      const at = nextValue(lines[spot.line].last, spot.at + direction, direction);
      if (at === null) break;
      spot = { ...spot, at };
    }
  }

  function toLine(by) {
    const lines = shownLines();
    const line = lines[(lines.indexOf(spot.line) + by + lines.length) % lines.length];
    const at = nearestValue(context.props.lines[line].last, spot.at);
    if (at !== null) spot = { line, at };
  }

  function toEnd(direction) {
    const { last } = context.props.lines[spot.line];
    spot = { ...spot, at: nextValue(last, direction > 0 ? 0 : last.length - 1, direction) };
  }

  const moves = {
    ArrowLeft: () => along(-1),
    ArrowRight: () => along(1),
    PageUp: () => along(-LEAP),
    PageDown: () => along(LEAP),
    ArrowUp: () => toLine(1),
    ArrowDown: () => toLine(-1),
    Home: () => toEnd(1),
    End: () => toEnd(-1),
    Enter: () => context.props.onPoint && context.point(spot.line, spot.at),
  };
  const about = (factor) => {
    const { props } = context;
    context.zoom(
      scaled(context.sight(), spot ? props.x[spot.at] : middle(context.sight()), factor, props.bounds),
    );
  };
  const by = (part) => {
    const { first, last } = context.sight();
    context.zoom(shifted({ first, last }, (last - first) * part, context.props.bounds));
  };
  const zooms = {
    "+": () => about(0.5),
    "=": () => about(0.5),
    "-": () => about(2),
    0: () => context.zoom(null),
    ShiftArrowLeft: () => by(-0.25),
    ShiftArrowRight: () => by(0.25),
  };

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !context.plot) return;
    const isPan = event.shiftKey && event.key.startsWith("Arrow");
    const zoom = zooms[isPan ? `Shift${event.key}` : event.key];
    const move = moves[event.key];
    if (!zoom && !move) return;
    event.preventDefault();
    event.stopPropagation();
    if (zoom) {
      zoom();
      return;
    }
    const wasNowhere = spot === null;
    spot = place();
    if (!spot) return;
    if (!wasNowhere) move();
    if (spot) show(); // Enter may have left the page
  }

  function show() {
    const { plot, props } = context;
    const line = props.lines[spot.line];
    const value = line.last[spot.at];
    if (line.job !== props.focused) props.onFocus(line.job);
    plot.setCursor({ left: plot.valToPos(props.x[spot.at], "x"), top: plot.valToPos(value, "y") }, false);
    const text = `${nameOf(line)}, ${positionText(props.x[spot.at], props.axis)}: ${rangeText(line, spot.at)}`;
    context.say(text);
  }

  box.addEventListener("keydown", pressed);
  box.addEventListener("blur", () => {
    if (!spot) return;
    context.plot?.setCursor({ left: -10, top: -10 }, false);
    context.props.onFocus(null);
    context.say("");
    spot = null;
  });

  return {
    /** After new data: the place may hold another value, or none. */
    refresh() {
      if (spot && context.props.lines[spot.line]?.last[spot.at] == null) spot = place();
    },
  };
}

function middle({ first, last }) {
  return (first + last) / 2;
}
