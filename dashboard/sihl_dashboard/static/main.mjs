/**
 * The router. Each page is `export function NAME(root, context) -> {destroy(), focus?}` in pages/NAME.mjs,
 * loaded when it is first gone to. It renders in `root` (which has an h1), and reads and writes the rest of
 * the address by view.mjs.
 *
 * @typedef {Object} Context
 * @property {{user: string, mode: string, cluster: boolean, canAct: boolean}} me
 * @property {import("./stream.mjs").Stream} stream
 * @property {?string} namespace of the address, as `project` and `job` (a record's folder)
 * @property {?string} project
 * @property {?string} job
 * @property {function(string)} title sets the document's
 */

import { forgetMe, me, send, whenSignedOut } from "./api.mjs";
import { announce, el, replace } from "./dom.mjs";
import { addKeys, listen, showKeys } from "./keys.mjs";
import { openStream } from "./stream.mjs";
import { liveness } from "./parts/liveness.mjs";
import { problem } from "./parts/problem.mjs";
import { go, href, link, place, viewChanged } from "./view.mjs";

// Whose session has ended is sent to the login; everybody else is told that it is not live.
const stream = openStream({ onLost: () => me(true).catch(() => {}) });
const main = document.getElementById("main");
let shown = null; // {key, page}
let turn = 0;

async function route(event = null) {
  const at = place();
  const key = [at.page, at.namespace, at.project, at.job].join("\n");
  if (shown?.key === key) {
    viewChanged();
    return;
  }
  const first = shown === null || event?.state === "sent on";
  const mine = ++turn;
  shown?.page?.destroy?.();
  shown = { key, page: null };
  try {
    const [who, module] = await Promise.all([
      at.page === "login" ? null : me(),
      at.page === "unknown" ? null : import(`./pages/${at.page}.mjs`),
    ]);
    if (mine !== turn) return;
    top(at, who);
    replace(main);
    scrollTo(0, 0);
    if (!module) throw notFound();
    shown.page = module[at.page](main, { ...at, me: who, stream, title });
    if (!first) arrived();
  } catch (error) {
    if (mine !== turn || error.code === "log-in") return;
    top(at, null);
    replace(main, problem(error, { title: "This page cannot be shown", again: retry }));
    title("Error");
  }
}

function notFound() {
  return Object.assign(new Error("There is no such page."), { remedy: "Go to the overview." });
}

function retry() {
  shown = null;
  route();
}

/** Who does not see that the page changed is told, and the next Tab starts at its beginning. */
function arrived() {
  if (!main.contains(document.activeElement)) main.focus({ preventScroll: true });
  announce(document.title);
}

function title(text) {
  document.title = text ? `${text} · sihl` : "sihl";
}

function top(at, who) {
  const crumbs = [["sihl", "/"]];
  if (at.project && at.page !== "unknown") {
    crumbs.push([`${at.namespace} / ${at.project}`, href(at.namespace, at.project)]);
  }
  if (at.job) crumbs.push([at.job, href(at.namespace, at.project, at.job)]);
  const local = at.page === "login";
  replace(
    document.getElementById("top"),
    el("nav", { "aria-label": "Breadcrumbs" }, el("ol", { class: "crumbs" },
      crumbs.map(([text, to], index) => el("li", {}, link(to, {
        "aria-current": index === crumbs.length - 1 && at.page !== "unknown" ? "page" : null,
        class: index ? null : "brand",
      }, text))))),
    el("div", { class: "row end" },
      local ? null : liveness(stream),
      el("button", { type: "button", class: "quiet help", onclick: showKeys, title: "Keyboard shortcuts (?)",
        "aria-label": "Keyboard shortcuts" }, "?"),
      who?.user ? el("span", { class: "who faint", text: who.user.replace(/^system:serviceaccount:/, ""),
        title: `You: ${who.user}` }) : null,
      // Whom a proxy's header brings has nothing here to be forgotten, and would be back at once.
      who?.mode === "token" && who.csrf
        ? el("button", { type: "button", class: "quiet", onclick: logout }, "Log out") : null),
  );
}

async function logout() {
  try {
    await send("POST", "/logout");
  } finally {
    forgetMe();
    go("/login");
  }
}

whenSignedOut(() => {
  forgetMe();
  if (place().page === "login") return;
  const next = location.pathname + location.search;
  go(next === "/" ? "/login" : `/login?next=${encodeURIComponent(next)}`, { replace: true });
});

/** Links within the dashboard are followed here; all others, and new tabs, by the browser. */
document.addEventListener("click", (event) => {
  const anchor = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!anchor || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (anchor.target || anchor.hasAttribute("download") || anchor.origin !== location.origin) return;
  if (/^\/(?:api|static|assets)\//.test(anchor.pathname)) return;
  if (anchor.hash && anchor.pathname === location.pathname && anchor.search === location.search) return;
  event.preventDefault();
  if (anchor.href !== location.href) go(anchor.pathname + anchor.search + anchor.hash);
});

addEventListener("popstate", route);
addKeys("Everywhere", [
  { keys: "?", label: "These keys" },
  { keys: "g o", label: "Go to the overview", run: () => go("/") },
  {
    keys: "g p", label: "Go to the project",
    run: () => {
      const { namespace, project } = place();
      if (project) go(href(namespace, project));
    },
  },
  {
    keys: "/", label: "Search, or filter",
    run: () => document.querySelector("main input[type=search]")?.focus(),
  },
]);
listen();
route();
