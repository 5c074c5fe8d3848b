/** One queue, in its order: who holds it, then who waits. */

import { el, keyed, replace, write } from "../dom.mjs";
import { ago, count, dateTime } from "../format.mjs";
import { isActive, phase, setPhase } from "./phase.mjs";
import { left, progress } from "./progress.mjs";
import { href, link } from "../view.mjs";

/**
 * @param {string} namespace
 * @returns {{node: HTMLElement, update: function({name: string, jobs: Object[]})}}
 */
export function queue(namespace) {
  const name = el("span", {});
  const tally = el("span", { class: "faint small" });
  const list = el("ol", { class: "plain jobs" });
  const node = el("section", { class: "queue" },
    el("h3", {}, el("span", { class: "faint" }, "Queue "), name, " ", tally), list);
  return {
    node,
    update(told) {
      if (!name.hasChildNodes()) {
        const isProject = told.jobs.some((job) => job.project === told.name);
        replace(name, isProject ? link(href(namespace, told.name), {}, told.name) : told.name);
      }
      const active = told.jobs.filter((job) => isActive(job.phase)).length;
      const waiting = told.jobs.filter((job) => job.phase === "Queued" && !job.suspend);
      write(tally, `${active ? "held" : "free"}, ${count(waiting.length, "waits", "wait")}`);
      // The operator tells the position of the first ten; the order is the server's.
      const jobs = told.jobs.map((job) => waiting.includes(job)
        ? { ...job, position: job.position ?? waiting.indexOf(job) + 1 } : job);
      keyed(list, jobs, (job) => job.uid || job.name, () => row(namespace, told.name));
    },
  };
}

function row(namespace, queueName) {
  const place = el("span", { class: "place num faint" });
  const name = link("", { class: "name" });
  const state = phase("");
  const why = el("span", { class: "why faint" });
  const far = progress("Progress");
  const rest = el("span", { class: "rest num" });
  const age = el("span", { class: "age num faint" });
  const node = el("li", { class: "job" }, place, name, state, far.node, rest, age, why);
  return { node, update: (job) => fill({ namespace, queueName }, job, { place, name, state, why, far, rest, age }) };
}

function fill({ namespace, queueName }, job, { place, name, state, why, far, rest, age }) {
  write(place, job.position ? `${job.position}.` : "");
  place.title = job.position ? `Position ${job.position} in its queue` : "";
  write(name, job.name);
  name.setAttribute("href", href(namespace, job.project, folderOf(job)));
  setPhase(state, job.phase);
  const project = job.project === queueName ? "" : `project ${job.project}`;
  write(why, [project, whyOf(job)].filter(Boolean).join("; "));
  far.update(job.progress);
  const seconds = left(job.progress);
  write(rest, isActive(job.phase) && seconds !== "–" ? `${seconds} left` : "");
  write(age, job.createdAt ? ago(job.createdAt) : "");
  age.title = `Submitted ${dateTime(job.createdAt)}`;
}

/** Why it waits, or how it ended; nothing where all is as it should be. */
export function whyOf(job) {
  if (job.suspend && job.phase === "Queued") return "Suspended: it does not start until it is resumed.";
  if (job.reason === "Admitted") return job.node ? `on ${job.node}` : "";
  return [job.reason, job.message].filter(Boolean).join(": ");
}

/** The folder of a job's record, which it may have none of yet. */
export function folderOf(job) {
  return job.folder ?? `${job.name}.${String(job.uid ?? "").slice(0, 8)}`;
}
