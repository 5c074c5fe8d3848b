/** The lines of a log by their numbers: fetched by the page, those kept that were looked at last. */

import { get, pathOf } from "../api.mjs";

export const PAGE = 256; // the server knows where each 256th line begins
const KEPT = 80;
const AT_ONCE = 3;

/**
 * @typedef {{spot: string, number: number, text: string, cut: boolean, size: number}} Line
 *   `size` in bytes, of all of it; `cut`: the text is its beginning
 * @param {{namespace: string, project: string, job: string, attempt: ?number}} which
 * @param {{onLines: function(), onError: function(?Error)}} heard lines came, or could not be had; null:
 *   now they can be had again
 */
export function logLines({ namespace, project, job, attempt }, { onLines, onError }) {
  const path = `${pathOf(namespace, project, job)}/log`;
  const pages = new Map(); // number -> Line[], the last looked at last
  const asked = new Map(); // number -> AbortController
  const stale = new Set();
  let count = 0;
  let wanted = [0, 0];
  let failing = null;
  let wait = 1000;
  let timer = 0;
  let stopped = false;

  function line(number) {
    return pages.get(Math.floor(number / PAGE))?.[number % PAGE];
  }

  /** Says which lines are seen: only these are asked for, however far one scrolled on the way. */
  function want(first, last) {
    wanted = [Math.floor(Math.max(first, 0) / PAGE), Math.floor(Math.max(last, 0) / PAGE)];
    ask();
  }

  function ask() {
    if (stopped || failing) return;
    const [first, last] = wanted;
    for (let page = first; page <= last; page += 1) {
      if (pages.has(page)) {
        const kept = pages.get(page);
        pages.delete(page);
        pages.set(page, kept);
      }
      const isNew = !pages.has(page) || stale.has(page);
      if (isNew && !asked.has(page) && asked.size < AT_ONCE) read(page);
    }
    for (const page of [...pages.keys()]) {
      if (pages.size <= KEPT) break;
      pages.delete(page);
    }
  }

  async function read(page) {
    const abort = new AbortController();
    asked.set(page, abort);
    stale.delete(page);
    try {
      const answer = await get(path, { attempt, line: page * PAGE, count: PAGE }, { signal: abort.signal });
      if (stopped) return;
      grow(answer.count);
      pages.set(page, answer.lines);
      wait = 1000;
      onError(null);
      onLines();
    } catch (error) {
      if (stopped || error.name === "AbortError") return;
      failed(error);
    } finally {
      asked.delete(page);
    }
    if (stale.has(page)) read(page);
    else ask();
  }

  function failed(error) {
    onError(error);
    failing = error;
    if (!error.passes) return;
    clearTimeout(timer);
    timer = setTimeout(again, wait);
    wait = Math.min(wait * 2, 30_000);
  }

  function again() {
    failing = null;
    refresh();
  }

  function grow(found) {
    if (found < count) {
      // Another log than before: a store that was put back, say. Nothing that is known holds.
      pages.clear();
      stale.clear();
    }
    count = found;
  }

  /** Asks how the log goes on: its last lines anew, and how many there are. */
  function refresh() {
    const last = Math.floor(Math.max(count - 1, 0) / PAGE);
    if (asked.has(last)) {
      stale.add(last); // what is under way may have been answered before the change
      return;
    }
    if (failing?.passes === false) failing = null;
    if (!failing) read(last);
  }

  refresh();
  return {
    line,
    want,
    refresh,
    get count() {
      return count;
    },
    /** The number of the last line that was written up to a moment. */
    async at(clock) {
      const { lines } = await get(path, { attempt, at: clock, count: 1 });
      return lines[0]?.number ?? 0;
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
      for (const abort of asked.values()) abort.abort();
    },
  };
}
