/** The address bar holds the whole view: where one is, and all that one chose there. */

import { el } from "./dom.mjs";

const listeners = new Set();

/**
 * Where we are.
 *
 * @returns {{page: string, namespace: ?string, project: ?string, job: ?string}} `page` is "overview",
 *   "login", "compare", "job" or "unknown"
 */
export function place(pathname = location.pathname) {
  let parts;
  try {
    parts = pathname.split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    parts = Array(9).fill("");
  }
  const [namespace = null, project = null, job = null] = parts;
  if (parts.length === 1 && namespace === "login") return spot("login");
  const page = ["overview", "unknown", "compare", "job"][parts.length] ?? "unknown";
  return spot(page, namespace, project, job);
}

function spot(page, namespace = null, project = null, job = null) {
  return { page, namespace, project, job };
}

/** The address of a project, or a job; `params` as for `setView`. */
export function href(namespace, project, job = null, params = {}) {
  const parts = [namespace, project, job].filter((part) => part !== null);
  const path = `/${parts.map(encodeURIComponent).join("/")}`;
  return withParams(path, new URLSearchParams(), params);
}

/** What the address says, by name; the last of several. Lists: `view().getAll`. */
export function view() {
  return new URLSearchParams(location.search);
}

/**
 * Changes what the address says.
 *
 * @param {Object<string, string|number|boolean|string[]|null>} changes null, "" and false take a name
 *   out; a list repeats it
 * @param {{push?: boolean}} [options] push: "back" returns to what was before. Otherwise the view is
 *   replaced, as for what changes with every stroke.
 */
export function setView(changes, { push = false } = {}) {
  const next = withParams(location.pathname, view(), changes);
  if (next === location.pathname + location.search) return;
  history[push ? "pushState" : "replaceState"](null, "", next);
  for (const listener of listeners) listener();
}

/**
 * Hears of changes of the view within a page; by back and forward, too.
 *
 * @param {function()} listener
 * @returns {function()} ends it
 */
export function onView(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Tells all that the address changed: the router does, after back and forward. */
export function viewChanged() {
  for (const listener of listeners) listener();
}

function withParams(path, params, changes) {
  for (const [name, value] of Object.entries(changes)) {
    params.delete(name);
    for (const each of [value].flat()) {
      if (each === null || each === undefined || each === "" || each === false) continue;
      params.append(name, each === true ? "1" : String(each));
    }
  }
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}

/** A link within the dashboard; the router follows it without loading the page anew. */
export function link(to, props, ...children) {
  return el("a", { ...props, href: to }, ...children);
}

/**
 * Goes to an address of the dashboard.
 *
 * @param {string} to
 * @param {{replace?: boolean}} [options] replace: it was sent on, "back" does not lead here again, and the
 *   focus stays where a page begins
 */
export function go(to, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", to);
  dispatchEvent(new PopStateEvent("popstate", { state: replace ? "sent on" : null }));
}
