/**
 * Very many rows of the same height, of which only those that are seen are in the document. Browsers take
 * no element of any height: above `HIGHEST` the scroll bar is a finer or coarser ruler, no longer pixels.
 */

import { el, styled } from "../dom.mjs";

export const ROW = 20; // pixels; as in log.css
const HIGHEST = 8_000_000;
const BEYOND = 8; // rows above and below, that come without a blank while one scrolls

/**
 * @param {HTMLElement} root empty; it scrolls
 * @param {{fill: function(HTMLElement, number), onSeen: function(number, number),
 *   onScroll: function(boolean)}} parts `fill` writes a row, which may be empty or of another time;
 *   `onSeen(first, last)` which are seen now; `onScroll(isLow)` a person scrolled, and to the end
 */
export function rows(root, { fill, onSeen, onScroll }) {
  const shown = el("div", { class: "log-rows" });
  const ruler = el("div", { class: "log-ruler" }, shown);
  const nodes = new Map(); // number -> row
  let count = 0;
  let first = 0;
  let last = -1;
  let widest = 0;
  let own = false; // the next scroll is ours, not a person's
  let frame = 0;
  root.append(ruler);

  const whole = () => count * ROW;
  const room = () => Math.max(root.clientHeight, ROW);

  /** Pixels that lie above what is seen, of all rows. */
  function above() {
    const all = whole();
    if (all <= HIGHEST) return root.scrollTop;
    return (root.scrollTop / (HIGHEST - room())) * (all - room());
  }

  function layout() {
    frame = 0;
    const top = above();
    const from = Math.max(0, Math.floor(top / ROW) - BEYOND);
    const to = Math.min(count - 1, Math.ceil((top + room()) / ROW) + BEYOND);
    for (const [number, node] of nodes) {
      if (number < from || number > to) {
        node.remove();
        nodes.delete(number);
      }
    }
    let place = shown.firstElementChild;
    for (let number = from; number <= to; number += 1) {
      let node = nodes.get(number);
      if (!node) {
        node = el("div", { class: "log-row", role: "row", "aria-rowindex": number + 1 });
        fill(node, number);
        nodes.set(number, node);
        shown.insertBefore(node, place);
      }
      place = node.nextElementSibling;
    }
    const offset = from * ROW - top + root.scrollTop;
    styled(shown, { transform: `translateY(${offset}px)` });
    widen();
    if (from !== first || to !== last) {
      [first, last] = [from, to];
      onSeen(from, to);
    }
  }

  /** As wide as the widest row that was seen: else it would jump from side to side. */
  function widen() {
    if (shown.scrollWidth <= widest) return;
    widest = shown.scrollWidth;
    styled(shown, { "min-width": `${widest}px` });
  }

  function soon() {
    if (!frame) frame = requestAnimationFrame(layout);
  }

  function isLow() {
    return root.scrollTop + room() >= Math.min(whole(), HIGHEST) - ROW;
  }

  root.addEventListener("scroll", () => {
    if (!own) onScroll(isLow());
    own = false;
    soon();
  }, { passive: true });
  const watcher = new ResizeObserver(soon);
  watcher.observe(root);

  function scrollTo(position) {
    const wanted = Math.round(Math.max(0, Math.min(position, root.scrollHeight - root.clientHeight)));
    if (Math.round(root.scrollTop) === wanted) return;
    own = true;
    root.scrollTop = wanted;
  }

  return {
    resize(found) {
      if (found === count) return;
      count = found;
      root.setAttribute("aria-rowcount", String(count));
      styled(ruler, { height: `${Math.min(whole(), HIGHEST)}px` });
      soon();
    },
    /** Has all rows written that say something else by now. */
    refill() {
      for (const [number, node] of nodes) fill(node, number);
      soon();
    },
    node: (number) => nodes.get(number),
    get page() {
      return Math.max(1, Math.floor(room() / ROW) - 1);
    },
    toEnd() {
      scrollTo(Infinity);
      soon();
    },
    /** Brings a row into sight: as little as it takes, or into the middle. */
    show(number, inMiddle) {
      const all = whole();
      const top = above();
      const y = number * ROW;
      if (!inMiddle && y >= top && y + ROW <= top + room()) return;
      let wanted = y - (room() - ROW) / 2;
      if (!inMiddle) wanted = y < top ? y : y + ROW - room();
      if (all > HIGHEST) wanted *= (HIGHEST - room()) / (all - room());
      scrollTo(wanted);
      layout();
    },
    destroy() {
      watcher.disconnect();
      cancelAnimationFrame(frame);
    },
  };
}
