/** A job's log: it follows, is searched, jumps to errors, and each line has an address. */

import { announce, append, el, replace, stylesheet, uniqueId } from "../dom.mjs";
import { bytes } from "../format.mjs";
import { addKeys } from "../keys.mjs";
import { bare, folded } from "./ansi.mjs";
import { logBar } from "./logbar.mjs";
import { logLines } from "./loglines.mjs";
import { rows } from "./logrows.mjs";
import { showWhole, spans } from "./logwhole.mjs";
import { problem } from "./problem.mjs";

const LONGEST = 2000; // characters of a line that a row shows; the rest is a click away
const LEVEL = /^(?:\S+Z )?(ERROR|CRITICAL|FATAL|WARNING|Traceback)\b/;

/**
 * @param {HTMLElement} root
 * @param {{namespace: string, project: string, job: string, attempt: ?number,
 *   at: ?{line: ?number, clock: ?number}, onLine: function(number),
 *   stream: import("../stream.mjs").Stream}} props `at`: what to show; null follows the log's end.
 *   `onLine`: a line was chosen, and belongs into the address. Lines of addresses are counted from 1.
 */
export function log(root, props) {
  stylesheet(import.meta.url, "../log.css");
  let shown = one(root, props);
  return {
    update(next) {
      const before = props;
      props = next;
      const isSame = ["namespace", "project", "job", "attempt"].every((name) => next[name] === before[name]);
      if (isSame) {
        shown.update(next);
        if (!alike(next.at, before.at)) shown.go(next.at);
      } else {
        shown.destroy();
        shown = one(root, next);
      }
    },
    destroy() {
      shown.destroy();
      replace(root);
    },
  };
}

function alike(at, other) {
  return (at?.line ?? null) === (other?.line ?? null) && (at?.clock ?? null) === (other?.clock ?? null);
}

/** The log of one job, or of one attempt. */
function one(root, props) {
  const which = { namespace: props.namespace, project: props.project, job: props.job,
    attempt: props.attempt ?? null };
  const id = uniqueId("log");
  const trouble = el("div");
  const box = el("div", { class: "log-box", tabindex: 0, role: "grid", "aria-label": "Log",
    "aria-colcount": 2, "aria-describedby": `${id}-help`, onkeydown: pressed, onclick: clicked });
  const empty = el("p", { class: "empty", text: "The log is empty so far.", hidden: true });
  const lines = logLines(which, { onLines: arrived, onError: failed });
  const list = rows(box, { fill, onSeen: lines.want, onScroll: scrolled });
  const bar = logBar(which, { onJump: (line) => choose(line, true), onFollow: follow,
    current: () => current, onNeedle: list.refill });
  let current = null; // the line that keys move from
  let isFollowing = false;
  let wanted = null; // to be shown as soon as its number is known to exist
  replace(root, el("div", { class: "log" }, bar.node, trouble, empty, box,
    el("p", { id: `${id}-help`, class: "unseen",
      text: "Arrows choose a line, Enter shows all of it, End follows the log." })));

  function arrived() {
    list.resize(lines.count);
    bar.count(lines.count);
    empty.hidden = lines.count > 0;
    box.hidden = lines.count === 0;
    list.refill();
    if (wanted !== null && wanted < lines.count) {
      const line = wanted;
      wanted = null;
      choose(line, false);
    } else if (isFollowing) list.toEnd();
  }

  function failed(error) {
    replace(trouble, error ? problem(error) : null);
  }

  /** Writes a row, unless it says that already: what a person has marked there stays marked. */
  function fill(node, number) {
    const line = lines.line(number);
    const begins = line && number ? begun(line, lines.line(number - 1)) : null;
    const key = JSON.stringify([line?.spot, line?.text, line?.size, begins, number === current, bar.needle]);
    if (node.key === key) return;
    node.key = key;
    node.id = `${id}-${number}`;
    node.className = "log-row";
    if (number === current) node.setAttribute("aria-selected", "true");
    else node.removeAttribute("aria-selected");
    replace(node, numbered(number), line ? cell(node, line, begins) : waiting());
  }

  function cell(node, line, begins) {
    const { text, folded: turns } = folded(line.text);
    const cut = text.slice(0, LONGEST);
    const level = LEVEL.exec(bare(cut.slice(0, 200)))?.[1];
    if (level) node.classList.add(level === "WARNING" ? "warning" : "error");
    const isLonger = line.cut || cut.length < text.length;
    return el("span", { role: "gridcell", class: "log-text" },
      begins === null ? null : el("span", { class: "tag", text: `attempt ${begins}` }),
      // Before the text: behind a long one nobody would see it.
      isLonger ? button(`${bytes(line.size)}: show all`, line.number) : null,
      turns ? button(`${turns} folded`, line.number) : null,
      bar.marked(spans(cut)));
  }

  function waiting() {
    return el("span", { role: "gridcell", class: "log-text faint", text: "…" });
  }

  /** The attempt that begins with a line, if one does. */
  function begun(line, before) {
    const [attempt] = line.spot.split(":");
    return before && before.spot.split(":")[0] !== attempt ? attempt : null;
  }

  function numbered(number) {
    // Each line's own address, to be copied or opened; a click chooses it here.
    const url = new URL(location.href);
    url.searchParams.set("line", String(number + 1));
    url.searchParams.delete("at");
    return el("span", { role: "gridcell", class: "log-number" }, el("a", {
      href: url.pathname + url.search, tabindex: -1, data: { line: number }, text: String(number + 1),
      "aria-label": `Line ${number + 1}` }));
  }

  function button(text, number) {
    return el("button", { type: "button", class: "log-more", tabindex: -1, data: { whole: number }, text });
  }

  function clicked(event) {
    const target = event.target instanceof Element ? event.target.closest("[data-line], [data-whole]") : null;
    if (!target || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (target.dataset.whole) whole(Number(target.dataset.whole));
    else choose(Number(target.dataset.line), true);
  }

  function whole(number) {
    const line = lines.line(number);
    if (line) showWhole(which, line);
  }

  /** Makes a line the current one, and shows it. */
  function choose(number, isTold) {
    const line = Math.max(0, Math.min(number, lines.count - 1));
    if (line < 0) return;
    const old = current;
    current = line;
    following(false);
    list.show(line, old === null || Math.abs(line - old) > 1);
    for (const each of [old, line]) if (each !== null && list.node(each)) fill(list.node(each), each);
    box.setAttribute("aria-activedescendant", `${id}-${line}`);
    if (isTold) props.onLine?.(line + 1);
  }

  function pressed(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const from = current ?? lines.count - 1;
    const moves = { ArrowDown: from + 1, ArrowUp: from - 1, PageDown: from + list.page,
      PageUp: from - list.page, Home: 0 };
    if (event.key in moves && lines.count) choose(moves[event.key], true);
    else if (event.key === "End") follow(true);
    else if (event.key === "Enter" && current !== null && event.target === box) whole(current);
    else return;
    event.preventDefault();
  }

  function follow(isOn) {
    following(isOn);
    if (!isOn) return;
    lines.refresh();
    list.toEnd();
    announce(`Following the log, ${lines.count} lines`);
  }

  function following(isOn) {
    isFollowing = isOn;
    bar.following(isOn);
  }

  function scrolled(isLow) {
    following(isLow);
  }

  async function go(at) {
    if (at?.line !== null && at?.line !== undefined) land(Number(at.line) - 1);
    else if (at?.clock !== null && at?.clock !== undefined) {
      try {
        land(await lines.at(at.clock));
      } catch (error) {
        if (error.name !== "AbortError") failed(error);
      }
    } else follow(true);
  }

  function land(line) {
    if (!Number.isInteger(line) || line < 0) return;
    if (line === current && list.node(line)) return; // chosen here: it is seen
    following(false);
    if (line < lines.count) choose(line, false);
    else wanted = line;
  }

  const unwatch = props.stream?.watch(`job:${which.namespace}/${which.project}/${which.job}`, () => {
    lines.refresh();
    bar.refresh();
  });
  const unkeys = addKeys("Log", [
    { keys: "e", label: "First error", run: () => bar.error("first") },
    { keys: "n", label: "Next error, or next place found", run: () => bar.step(1) },
    { keys: "Shift+N", label: "The one before", run: () => bar.step(-1) },
    { keys: "f", label: "Follow the log's end", run: () => follow(!isFollowing) },
    { keys: "l", label: "Go to the log", run: () => box.focus() },
    { keys: "↑ ↓ PageUp PageDown Home End Enter", label: "In the log: lines, all of one line" },
  ]);
  go(props.at);

  return {
    go,
    update(next) {
      props = next;
    },
    destroy() {
      unwatch?.();
      unkeys();
      bar.destroy();
      lines.stop();
      list.destroy();
    },
  };
}
