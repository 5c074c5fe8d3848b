/** A project's latest jobs, as its records tell them: where there is no cluster to show queues. */

import { get, pathOf } from "../api.mjs";
import { el, keyed, write } from "../dom.mjs";
import { ago, count, dateTime } from "../format.mjs";
import { loader } from "../loader.mjs";
import { href, link } from "../view.mjs";
import { labelsOf } from "./jobnames.mjs";
import { phase, setPhase } from "./phase.mjs";
import { progress } from "./progress.mjs";

const SHOWN = 5;
const COLUMNS = ["job.state", "job.step", "job.maxSteps", "job.createdAt", "job.reason"];

/**
 * @param {string} namespace
 * @param {string} project
 * @param {import("../stream.mjs").Stream} stream
 * @returns {{node: HTMLElement, update: function(), destroy: function()}} it asks once it is scrolled to
 */
export function latest(namespace, project, stream) {
  const tally = el("span", { class: "faint small" });
  const list = el("ol", { class: "plain jobs" });
  const node = el("section", { class: "queue" },
    el("h3", {}, link(href(namespace, project), {}, project), " ", tally), list);
  let source = null;
  let end = () => {};

  const watcher = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    source = loader((signal) => get(`${pathOf(namespace, project)}/jobs`,
      { limit: SHOWN, sort: "-job.createdAt", columns: COLUMNS.join(",") }, { signal }), {
      every: 2000,
      onData: ({ rows, total }) => {
        const rest = total > rows.length ? `, the latest ${rows.length} of them` : "";
        write(tally, count(total, "job") + rest);
        const labels = labelsOf(rows.map((each) => each.job));
        keyed(list, rows.map((each) => ({ ...each, label: labels.get(each.job) })), (each) => each.job,
          () => row(namespace, project));
      },
      onError: (error) => write(tally, error.message),
    });
    end = stream.watch(`project:${namespace}/${project}`, source.refresh);
  }, { rootMargin: "200px" });
  watcher.observe(node);

  return {
    node, update() {},
    destroy() {
      watcher.disconnect();
      source?.stop();
      end();
    },
  };
}

function row(namespace, project) {
  const name = link("", { class: "name" });
  const state = phase("");
  const far = progress("Progress");
  const age = el("span", { class: "age num faint" });
  const why = el("span", { class: "why faint" });
  const node = el("li", { class: "job" }, el("span", {}), name, state, far.node,
    el("span", { class: "rest" }), age, why);
  return {
    node,
    update({ job, label, values }) {
      write(name, label);
      name.title = job;
      name.setAttribute("href", href(namespace, project, job));
      setPhase(state, values["job.state"]);
      far.update({ step: values["job.step"], maxSteps: values["job.maxSteps"] });
      write(age, values["job.createdAt"] ? ago(values["job.createdAt"]) : "");
      age.title = `Submitted ${dateTime(values["job.createdAt"])}`;
      const reason = values["job.reason"];
      write(why, reason && reason !== values["job.state"] ? reason : "");
    },
  };
}
