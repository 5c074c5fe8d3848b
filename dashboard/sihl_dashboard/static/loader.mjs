/** Keeps what is shown up to date: asks again when told to, once at a time, and again later if it fails. */

const FIRST_WAIT = 2000;
const LONGEST_WAIT = 30_000;

/**
 * @param {function(AbortSignal): Promise<*>} ask
 * @param {{onData: function(*), onError: function(Error, boolean), every?: number}} options
 *   `onError(error, shown)`: what is shown already stays, and may be old. `every`: at most one
 *   question in so many milliseconds.
 * @returns {{refresh: function(), stop: function()}} `refresh` while a question is under way asks once
 *   more after it
 */
export function loader(ask, { onData, onError, every = 250 }) {
  let running = false;
  let again = false;
  let stopped = false;
  let shown = false;
  let wait = FIRST_WAIT;
  let timer = 0;
  let asked = -Infinity;
  let abort = null;

  async function run() {
    running = true;
    again = false;
    asked = performance.now();
    abort = new AbortController();
    try {
      const data = await ask(abort.signal);
      if (stopped) return;
      wait = FIRST_WAIT;
      shown = true;
      onData(data);
    } catch (error) {
      if (stopped || error.name === "AbortError") return;
      onError(error, shown);
      if (error.passes) later(wait * (0.75 + Math.random() / 2));
      wait = Math.min(wait * 2, LONGEST_WAIT);
    } finally {
      running = false;
    }
    if (again) refresh();
  }

  function later(milliseconds) {
    clearTimeout(timer);
    timer = setTimeout(refresh, milliseconds);
  }

  function refresh() {
    if (stopped) return;
    clearTimeout(timer);
    if (running) again = true;
    else if (document.hidden && shown) later(1000);
    else if (performance.now() - asked < every) later(every - (performance.now() - asked));
    else run();
  }

  refresh();
  return {
    refresh,
    stop() {
      stopped = true;
      clearTimeout(timer);
      abort?.abort();
    },
  };
}
