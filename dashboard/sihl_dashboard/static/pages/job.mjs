/** One job: how it stands, its curves beside its log, when it did what, of what it was made, its model. */

import { get, pathOf } from "../api.mjs";
import { announce, el, replace, stylesheet } from "../dom.mjs";
import { addKeys } from "../keys.mjs";
import { loader } from "../loader.mjs";
import { jobHead } from "../parts/jobhead.mjs";
import { lazy } from "../parts/lazy.mjs";
import { problem, troubles } from "../parts/problem.mjs";
import { href, link, onView, setView, view } from "../view.mjs";

/** @type {function(HTMLElement, import("../main.mjs").Context): {destroy: function()}} */
export function job(root, { namespace, project, job: folder, stream, title, me }) {
  const where = { namespace, project, job: folder };
  title(folder);
  stylesheet(import.meta.url, "../job.css");
  const parts = sections(where, stream, toLog);
  const head = jobHead(where, { me, acted: () => source.refresh() });
  const body = bodyOf(root, where, head, parts);

  let phase = null;
  const source = loader((signal) => get(pathOf(namespace, project, folder), {}, { signal }), {
    every: 1000,
    onData(data) {
      title(data.name || folder);
      body.update(data);
      const now = data.live?.phase ?? null;
      if (phase && now && now !== phase) announce(`${data.name}: ${now}`);
      phase = now;
    },
    onError: body.fail,
  });
  const ends = [
    stream.watch(`job:${namespace}/${project}/${folder}`, source.refresh),
    onView(() => parts.forEach((part) => part.reads && part.update(part.reads()))),
    addKeys("Job", parts.map((part) => ({
      keys: part.keys, label: `Go to ${part.title.toLowerCase()}`, run: part.focus,
    }))),
  ];
  return {
    destroy() {
      source.stop();
      for (const end of ends) end();
      for (const part of parts) part.destroy();
      head.destroy();
    },
  };
}

/** A point of a curve was chosen: the log goes to that moment. */
function toLog({ clock }) {
  setView({ at: clock === null ? null : String(clock), line: null }, { push: true });
  document.getElementById("log")?.scrollIntoView({ block: "nearest" });
}

/** All that a page shows of a job, or what kept it from that. */
function bodyOf(root, { namespace, project, job: folder }, head, parts) {
  const failed = el("div", {});
  const told = troubles();
  const page = el("div", { class: "job-page" }, parts.map((part) => part.node));
  const contents = el("nav", { class: "contents", "aria-label": "Sections" }, el("ul", { class: "plain row" },
    parts.map(entry),
    el("li", {}, link(href(namespace, project, null, { jobs: folder }), {}, "Compare with others"))));
  replace(root, failed, head.node, told.node, contents, page);
  let lacked = false;

  function show(isShown) {
    for (const node of [head.node, contents, page]) node.hidden = !isShown;
  }

  /** A job that waits has no record yet: what reads it begins once there is one. */
  function wait(lacks) {
    if (lacks === lacked) return;
    lacked = lacks;
    for (const part of parts.filter((each) => each.reads)) {
      part.node.hidden = lacks;
      if (!lacks) part.restart();
    }
  }

  return {
    update(data) {
      replace(failed);
      show(true);
      told.update(data.troubles);
      head.update(data);
      for (const part of parts) if (!part.reads) part.update({ job: data });
      wait(data.document === null);
    },
    fail(error, shown) {
      const title = shown ? "" : error.status === 404 ? "No such job" : "This job cannot be shown";
      replace(failed, problem(error, { title }),
        shown ? el("p", { class: "faint", text: "What is below may be old." }) : null);
      show(shown);
    },
  };
}

/** What leads to a section, as long as there is something in it. */
function entry({ node, title }) {
  const found = el("li", {}, el("a", { href: `#${node.id}`, text: title }));
  new MutationObserver(() => {
    found.hidden = node.hidden;
  }).observe(node, { attributes: true, attributeFilter: ["hidden"] });
  return found;
}

/**
 * The page's sections in their order. `reads` says what a part takes of the address; those without it are
 * given the job as the server answers it.
 */
function sections(where, stream, toLog) {
  const { namespace, project, job: folder } = where;
  const shared = { namespace, project, jobs: [folder], stream };
  return [
    lazy({
      id: "curves", title: "Curves", keys: "g c", module: "curves", reads: curvesView,
      props: { ...shared, live: stream, onView: (changes) => setView(changes), onPoint: toLog },
    }),
    lazy({
      id: "log", title: "Log", keys: "g l", module: "log", reads: logView,
      props: { ...where, stream, onLine: (line) => setView({ line, at: null }) },
    }),
    lazy({ id: "time", title: "Time", keys: "g t", module: "timeline", props: { namespace, project } }),
    lazy({
      id: "pictures", title: "Pictures of validation", keys: "g v", module: "pictures", reads: picturesView,
      whenSeen: true, props: { ...shared, onStep: (step) => setView({ step }) },
    }),
    lazy({ id: "spec", title: "Settings as run", keys: "g s", module: "spec", props: { namespace, project } }),
    lazy({ id: "data", title: "Dataset", keys: "g d", module: "dataset", props: { namespace, project } }),
    lazy({ id: "model", title: "Model", keys: "g m", module: "model", props: { namespace, project } }),
  ];
}

function curvesView() {
  return { view: Object.fromEntries(view()) };
}

/** Where the log stands: at a line that was linked to, at a moment of a curve, or at its end. */
function logView() {
  const [line, clock, attempt] = ["line", "at", "attempt"].map(numberOf);
  return { attempt, at: line === null && clock === null ? null : { line, clock } };
}

function picturesView() {
  return { step: numberOf("step") };
}

function numberOf(name) {
  const text = view().get(name);
  return /^\d+(?:\.\d+)?$/.test(text ?? "") ? Number(text) : null;
}
