/** A section of a page, whose part is loaded by itself: one that cannot be had, or breaks, takes nothing with it. */

import { el, replace } from "../dom.mjs";
import { problem } from "./problem.mjs";

/**
 * @param {{id: string, title: string, module: string, props: Object, keys: string, reads?: function(): Object,
 *   whenSeen?: boolean}} options `module` is the part's, and its function's, name; `reads`: further
 *   properties, which the page gives anew when they change; `whenSeen`: only once it is scrolled to
 * @returns {{node: HTMLElement, title: string, keys: string, reads: ?function(): Object, update: function(Object),
 *   restart: function(), destroy: function(), focus: function()}} `update` merges properties into those
 *   that it has; `restart` makes the part anew
 */
export function lazy({ id, title, module, props, keys, reads = null, whenSeen = false }) {
  const body = el("div", { class: "body" });
  const node = el("section", { id, class: `panel part-${module}`, "aria-labelledby": `${id}-title`,
    tabindex: -1 }, el("header", {}, el("h2", { id: `${id}-title`, text: title })), body);
  let known = { ...props, ...reads?.() };
  let part = null;
  let isGone = false;
  let watcher = null;

  async function load() {
    let made;
    try {
      made = await import(`./${module}.mjs`);
    } catch {
      const message = "This part of the page could not be loaded.";
      replace(body, problem({ message, remedy: "Load the page anew." }));
      return;
    }
    if (isGone) return;
    guarded(() => {
      part = made[module](body, known);
    });
  }

  function guarded(run) {
    try {
      run();
    } catch (error) {
      console.error(error);
      replace(body, problem(error));
    }
  }

  if (whenSeen) {
    watcher = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      load();
    }, { rootMargin: "300px" });
    watcher.observe(node);
  } else load();

  return {
    node, title, keys, reads,
    update(changes) {
      known = { ...known, ...changes };
      if (part) guarded(() => part.update(known));
    },
    restart() {
      if (!part) return;
      part.destroy();
      replace(body);
      part = null;
      load();
    },
    destroy() {
      isGone = true;
      watcher?.disconnect();
      part?.destroy();
    },
    focus() {
      node.scrollIntoView({ block: "start" });
      node.focus({ preventScroll: true });
    },
  };
}
