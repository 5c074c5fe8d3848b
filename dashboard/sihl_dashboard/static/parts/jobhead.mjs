/** How a job stands: phase and why, progress, the facts that one asks for first, and what one may do. */

import { el, replace, write } from "../dom.mjs";
import { ago, dateTime, duration, integer, NONE, number } from "../format.mjs";
import { actions } from "./actions.mjs";
import { stretches, totals } from "./course.mjs";
import { phase, setPhase } from "./phase.mjs";
import { left, progress } from "./progress.mjs";
import { whyOf } from "./queue.mjs";

const MOST_SCORES = 12;

/**
 * @param {{namespace: string, project: string, job: string}} where
 * @param {{me: Object, acted: function()}} options
 */
export function jobHead(where, { me, acted }) {
  const name = el("h1", { text: where.job });
  const mark = phase("");
  const far = progress("Training");
  const rest = el("span", { class: "num" });
  const why = el("p", { class: "why" });
  const facts = el("dl", { class: "facts" });
  const results = el("dl", { class: "facts results", "aria-label": "Best of each validation metric" });
  const tools = actions(where, { me, acted });
  const node = el("header", { class: "job-head" },
    el("div", { class: "row" }, name, mark, far.node, rest, tools.node), why, facts, results);
  let shown = null;

  function update(data) {
    shown = data;
    const live = data.live;
    write(name, data.name || where.job);
    setPhase(mark, live?.phase ?? data.state);
    far.update(progressOf(data));
    const seconds = left(live?.progress);
    write(rest, seconds !== NONE && live?.phase === "Running" ? `${seconds} left` : "");
    write(why, live && live.reason !== "Admitted" ? whyOf(live) : "");
    why.hidden = !why.textContent;
    replace(facts, pairs(data).map(([title, value, hint]) => el("div", {},
      el("dt", { text: title }), el("dd", { class: "num", text: value, title: hint ?? null }))));
    replace(results, scores(data).map(([title, value, step]) => el("div", {},
      el("dt", { text: title }), el("dd", { class: "num" }, el("strong", { text: number(value) }),
        el("span", { class: "faint small", text: ` at ${integer(step)}` })))));
    tools.update(live);
  }

  const timer = setInterval(() => shown && !document.hidden && update(shown), 30_000);
  return {
    node, update,
    destroy() {
      clearInterval(timer);
      tools.destroy();
    },
  };
}

function progressOf({ live, summary }) {
  if (live?.progress?.maxSteps || live?.progress?.datasetTotalBytes) return live.progress;
  return summary?.progress ?? null;
}

function pairs(data) {
  const { live, document, summary, attempts } = data;
  const created = live?.createdAt ?? document?.createdAt ?? null;
  const rate = live?.progress?.imagesPerSecond ?? summary?.progress?.imagesPerSecond;
  const trained = totals(stretches(data, Date.now() / 1000)).training ?? null;
  const image = String(document?.image ?? "");
  return [
    created && ["Submitted", ago(created), dateTime(created)],
    attempts?.length && ["Attempts", integer(live?.attempt ?? attempts.length)],
    trained !== null && ["Trained for", duration(trained)],
    rate && ["Speed", `${number(rate, 3)} images/s`],
    live?.node && ["Node", live.node],
    live?.queue && ["Queue", live.queue],
    live?.priority && ["Priority", integer(live.priority)],
    document?.uid && ["UID", String(document.uid).slice(0, 8), document.uid],
    image && ["Image", image.split("/").at(-1), image],
  ].filter(Boolean);
}

/** Of each validation metric its best value, or its last where none is better. */
function scores({ summary }) {
  return Object.entries(summary?.validation ?? {}).map(([name, told]) => [name, told.best ?? told.last])
    .filter(([, point]) => point).slice(0, MOST_SCORES).map(([name, { value, step }]) => [name, value, step]);
}
