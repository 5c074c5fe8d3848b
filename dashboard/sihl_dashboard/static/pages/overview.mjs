/** What runs and what waits, where, and what is free: live. */

import { get } from "../api.mjs";
import { announce, el, keyed, replace, stylesheet, write } from "../dom.mjs";
import { count } from "../format.mjs";
import { addKeys } from "../keys.mjs";
import { loader } from "../loader.mjs";
import { latest } from "../parts/latest.mjs";
import { problem, troubles } from "../parts/problem.mjs";
import { nodes } from "../parts/nodes.mjs";
import { queue } from "../parts/queue.mjs";
import { href, link, onView, setView, view } from "../view.mjs";

const OFTEN = 1000; // milliseconds: a busy cluster changes all the time

/** @type {function(HTMLElement, import("../main.mjs").Context): {destroy: function()}} */
export function overview(root, { stream, title, me }) {
  title("Overview");
  stylesheet(import.meta.url, "../overview.css");
  const find = finder(me);
  const body = bodyOf(root, find, stream, me);
  let data = null;
  const source = loader((signal) => get("/overview", {}, { signal }), {
    every: OFTEN,
    onData(next) {
      body.show(next);
      changes(data, next);
      data = next;
    },
    onError: body.fail,
  });
  const again = () => data && body.show(data);
  const ends = [
    stream.watch("overview", source.refresh),
    onView(() => {
      const text = view().get("q") ?? "";
      if (find.value !== text) find.value = text;
      again();
    }),
    addKeys("Overview", [
      { keys: "j", label: "The next job", run: () => step(root, 1) },
      { keys: "k", label: "The job before", run: () => step(root, -1) },
      { keys: "r", label: "Ask anew", run: source.refresh },
    ]),
  ];
  // Times left and ages grow old even where nothing else happens.
  const clock = setInterval(() => !document.hidden && again(), 15_000);
  return {
    destroy() {
      source.stop();
      clearInterval(clock);
      body.destroy();
      for (const end of ends) end();
    },
  };
}

/** Moves the focus from job to job. */
function step(root, by) {
  const jobs = [...root.querySelectorAll(".job .name")];
  const at = jobs.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : jobs.length - 1) : at + by;
  jobs[Math.min(Math.max(next, 0), jobs.length - 1)]?.focus();
}

function finder(me) {
  const words = me.cluster ? "Filter jobs, queues, phases" : "Filter projects";
  return el("input", { type: "search", placeholder: words, "aria-label": words,
    value: view().get("q") ?? "", oninput: (event) => setView({ q: event.target.value }) });
}

function bodyOf(root, find, stream, me) {
  const failed = el("div", {});
  const told = troubles();
  const spaces = el("div", { class: "spaces" });
  const gpus = nodes();
  const summary = el("p", { class: "faint" });
  replace(root,
    el("header", { class: "row page-head" }, el("h1", { text: "Overview" }), summary,
      el("span", { class: "end" }, find)),
    failed, told.node,
    el("div", { class: "overview" }, gpus.node, spaces));

  return {
    show(data) {
      replace(failed);
      told.update(data.troubles);
      gpus.update(data.nodes ?? [], data.cluster);
      write(summary, described(data));
      const wanted = (view().get("q") ?? "").trim().toLowerCase();
      const found = data.namespaces.map((space) => chosen(space, wanted)).filter(Boolean);
      const shown = found.length ? found : [{ name: "", empty: emptiness(wanted, me, data) }];
      keyed(spaces, shown, (space) => `${space.empty ? "-" : "+"}${space.name}`, (space) => {
        if (space.empty) return nothing();
        return data.cluster ? queues() : records(stream);
      });
    },
    fail(error, shown) {
      replace(failed, problem(error),
        shown ? el("p", { class: "faint", text: "What is below may be old." }) : null);
    },
    destroy: () => keyed(spaces, [], String, () => null),
  };
}

function described(data) {
  const jobs = data.namespaces.flatMap((space) => space.queues.flatMap((each) => each.jobs));
  if (!jobs.length) return "";
  const running = jobs.filter((job) => job.phase === "Running").length;
  const waiting = jobs.filter((job) => job.phase === "Queued" && !job.suspend).length;
  return `${count(running, "job")} ${running === 1 ? "runs" : "run"}, ${waiting} ${
    waiting === 1 ? "waits" : "wait"}`;
}

/** What of a namespace one looks for; null if nothing. */
function chosen(space, wanted) {
  if (!wanted || space.name.toLowerCase().includes(wanted)) return space;
  const queues = space.queues.map((each) => each.name.toLowerCase().includes(wanted) ? each : {
    ...each,
    jobs: each.jobs.filter((job) => [job.name, job.phase, job.reason, job.project, job.node].some(
      (text) => String(text ?? "").toLowerCase().includes(wanted))),
  }).filter((each) => each.jobs.length || each.name.toLowerCase().includes(wanted));
  const projects = space.projects.filter((name) => name.toLowerCase().includes(wanted));
  return queues.length || projects.length ? { ...space, queues, projects } : null;
}

function emptiness(wanted, me, { troubles }) {
  if (wanted) return "Nothing here is called so.";
  if (troubles.length) return "What there is cannot be told now.";
  return me.cluster
    ? "There is no job, nor a record of one, that you may see. Submit one: kubectl sihl submit -f job.yaml"
    : "There is no record here yet. sihl-trainer local writes one.";
}

function nothing() {
  const node = el("p", { class: "empty" });
  return { node, update: (space) => write(node, space.empty) };
}

/** Of a cluster: a namespace's queues. */
function queues() {
  const head = el("h2", {});
  const projects = el("ul", { class: "plain projects" });
  const none = el("p", { class: "faint" }, "There is no job here.");
  const lines = el("div", {});
  const node = el("section", { class: "panel space" }, el("header", {}, head, projects), none, lines);
  return {
    node,
    update(space) {
      write(head, space.name);
      keyed(projects, space.projects, (name) => name, (name) => ({
        node: el("li", {}, link(href(space.name, name), { class: "tag project" }, name)),
        update() {},
      }));
      const busy = space.queues.filter((each) => each.jobs.length);
      none.hidden = busy.length > 0;
      keyed(lines, busy, (each) => each.name, () => queue(space.name));
    },
  };
}

/** Of records alone: each project's latest jobs. */
function records(stream) {
  const head = el("h2", {});
  const lines = el("div", {});
  const none = el("p", { class: "faint" }, "No project has a record here.");
  const node = el("section", { class: "panel space" }, el("header", {}, head), none, lines);
  return {
    node,
    update(space) {
      write(head, space.name);
      none.hidden = space.projects.length > 0;
      keyed(lines, space.projects, (name) => name, (name) => latest(space.name, name, stream));
    },
    destroy: () => keyed(lines, [], String, () => null),
  };
}

/** Tells those who hear the page what jobs do, not how far each is. */
function changes(before, after) {
  if (!before) return;
  const known = new Map(all(before).map((job) => [job.uid, job.phase]));
  const told = all(after).filter((job) => known.get(job.uid) !== job.phase)
    .map((job) => `${job.name}: ${job.phase}`);
  if (told.length && told.length <= 5) announce(told.join(", "));
  else if (told.length) announce(`${told.length} jobs changed`);
}

function all(data) {
  return data.namespaces.flatMap((space) => space.queues.flatMap((each) => each.jobs));
}
