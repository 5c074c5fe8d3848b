/**
 * Pictures of validations: image, target and prediction as they were drawn, by step, with one slider for
 * all. Of several jobs the same images side by side, those first on which they disagree most.
 */

import { get, pathOf } from "../api.mjs";
import { announce, el, keyed, replace, stylesheet, write } from "../dom.mjs";
import { integer, number } from "../format.mjs";
import { addKeys } from "../keys.mjs";
import { loader } from "../loader.mjs";
import { labelsOf } from "./jobnames.mjs";
import { picture } from "./picture.mjs";
import { problem } from "./problem.mjs";

const AT_FIRST = 12; // images; a click shows more
const MOST_JOBS = 8; // side by side; of more nobody sees what differs, and each picture costs
const PATIENCE = 150; // milliseconds that the slider rests before jobs are compared at its step

/**
 * @param {HTMLElement} root
 * @param {{namespace: string, project: string, jobs: string[], step: ?number, onStep: function(?number),
 *   stream: ?import("../stream.mjs").Stream}} props `step`: null is the latest
 */
export function pictures(root, props) {
  stylesheet(import.meta.url, "../pictures.css");
  let shown = several(root, props);
  return {
    update(next) {
      const isSame = ["namespace", "project"].every((name) => next[name] === props[name])
        && next.jobs.join("\n") === props.jobs.join("\n");
      props = next;
      if (isSame) shown.update(next);
      else {
        shown.destroy();
        shown = several(root, next);
      }
    },
    destroy() {
      shown.destroy();
      replace(root);
    },
  };
}

function several(root, props) {
  const { namespace, project } = props;
  const jobs = props.jobs.slice(0, MOST_JOBS);
  const labels = labelsOf(jobs);
  let byJob = {}; // folder -> its pictures, by step
  let order = null; // of the images, as the server compares them: [{head, file, disagreement}]
  let steps = [];
  let step = props.step ?? null;
  let head = "";
  let most = AT_FIRST;
  let comparer = null;
  let timer = 0;

  const trouble = el("div");
  const slider = el("input", { type: "range", min: 0, max: 0, step: 1, value: 0, "aria-label": "Step",
    oninput: () => choose(Number(slider.value)) });
  const told = el("output", { class: "num" });
  const heads = el("select", { "aria-label": "Head", hidden: true, onchange: () => {
    head = heads.value;
    draw();
  } });
  const list = el("ol", { class: `plain pictures${jobs.length === 1 ? " one" : ""}` });
  const more = el("button", { type: "button", hidden: true, onclick: () => {
    most += AT_FIRST;
    draw();
  } });
  const empty = el("p", { class: "empty", hidden: true });
  const bar = el("div", { class: "row pictures-bar", hidden: true },
    button("◀", "The step before (,)", () => by(-1)), slider,
    button("▶", "The next step (.)", () => by(1)), told, heads);
  const fewer = props.jobs.length > jobs.length
    ? el("p", { class: "faint", text: `Of the first ${jobs.length} of ${props.jobs.length} jobs:` }) : null;
  replace(root, fewer, bar, trouble, empty, list, more);

  function button(text, label, onclick) {
    return el("button", { type: "button", title: label, "aria-label": label, onclick }, text);
  }

  const due = new Set(jobs); // whose pictures are not known, or may be old
  const lister = loader(async (signal) => {
    // One after the other: a browser has six connections, and curves are wanted before pictures.
    for (const job of [...due]) {
      due.delete(job);
      try {
        const answer = await get(`${pathOf(namespace, project, job)}/pictures`, {}, { signal });
        byJob = { ...byJob, [job]: answer.pictures.filter((each) => each.isImage) };
      } catch (error) {
        due.add(job);
        throw error;
      }
    }
  }, { onData: listed, onError: (error) => replace(trouble, problem(error)), every: 1000 });

  function listed() {
    replace(trouble);
    const all = Object.values(byJob).flat();
    steps = [...new Set(all.map((each) => each.step))].sort((a, b) => a - b);
    const names = [...new Set(all.map((each) => each.head))].sort();
    heads.hidden = names.length < 2;
    replace(heads, el("option", { value: "" }, "All heads"),
      names.map((name) => el("option", { value: name, selected: name === head }, name)));
    bar.hidden = steps.length === 0;
    empty.hidden = steps.length > 0;
    write(empty, "No pictures yet: they are drawn at each validation.");
    slider.max = String(Math.max(steps.length - 1, 0));
    moved();
    compare();
  }

  /** Where the slider stands: at the latest step up to the chosen one. */
  function index() {
    if (step === null) return steps.length - 1;
    const found = steps.findLastIndex((each) => each <= step);
    return Math.max(found, 0);
  }

  function choose(at) {
    const found = Math.max(0, Math.min(at, steps.length - 1));
    if (!steps.length || found === index()) return;
    // At the last one it stays at the last, also when there will be newer ones.
    step = found === steps.length - 1 ? null : steps[found];
    moved();
    announce(`Step ${steps[found]}`);
    props.onStep?.(step);
    clearTimeout(timer);
    timer = setTimeout(compare, PATIENCE);
  }

  function by(count) {
    choose(index() + count);
  }

  function moved() {
    const at = steps[index()];
    slider.value = String(index());
    slider.setAttribute("aria-valuetext", at === undefined ? "none" : `step ${at}`);
    write(told, at === undefined ? "" : `step ${integer(at)}`);
    draw();
  }

  /** Has the server say on which images jobs disagree most at this step. */
  function compare() {
    if (jobs.length < 2 || !steps.length) return;
    comparer?.stop();
    const path = `${pathOf(namespace, project)}/same-images`;
    comparer = loader((signal) => get(path, { jobs: jobs.join(","), step: steps[index()] }, { signal }), {
      onData(answer) {
        order = answer.images;
        draw();
      },
      onError: (error) => replace(trouble, problem(error)),
    });
  }

  /** By job, the picture of an image that was drawn last up to the step. */
  function chosen() {
    const at = steps[index()];
    const found = new Map(); // head and file -> {head, file, pictures: {job: picture}}
    for (const job of jobs) {
      for (const each of byJob[job] ?? []) {
        if (each.step > at || (head && each.head !== head)) continue;
        const key = `${each.head}/${each.file}`;
        if (!found.has(key)) found.set(key, { key, head: each.head, file: each.file, pictures: {} });
        const kept = found.get(key).pictures[job];
        if (!kept || each.step >= kept.step) found.get(key).pictures[job] = each;
      }
    }
    const needed = Math.min(jobs.length, 2);
    return [...found.values()].filter((each) => Object.keys(each.pictures).length >= needed);
  }

  function draw() {
    const ranks = new Map((order ?? []).map((each, rank) => [`${each.head}/${each.file}`, { ...each, rank }]));
    const images = chosen().map((each) => ({ ...each, ...rankOf(ranks.get(each.key)) }));
    images.sort((a, b) => a.rank - b.rank || (a.key < b.key ? -1 : 1));
    if (steps.length) {
      empty.hidden = images.length > 0;
      write(empty, jobs.length > 1 ? "These jobs have drawn no image in common up to this step."
        : "Nothing was drawn up to this step.");
    }
    keyed(list, images.slice(0, most), (image) => image.key, row);
    more.hidden = images.length <= most;
    write(more, `Show ${Math.min(AT_FIRST, images.length - most)} more of ${images.length}`);
  }

  function rankOf(found) {
    return { rank: found?.rank ?? Infinity, disagreement: found?.disagreement ?? null };
  }

  function row(image) {
    const title = el("h3", { class: "mono" });
    const differs = el("span", { class: "faint small" });
    const cells = el("div", { class: "pictures-row" });
    return {
      node: el("li", { class: "pictures-image" }, el("header", { class: "row" }, title, differs), cells),
      update(next) {
        write(title, nameOf(next.file));
        write(differs, [heads.hidden ? "" : next.head, toldOf(next.disagreement)].filter(Boolean).join(" · "));
        const shown = jobs.filter((job) => next.pictures[job]).map((job) =>
          ({ job, label: labels.get(job), picture: next.pictures[job], isOne: jobs.length === 1 }));
        keyed(cells, shown, (each) => each.job, (each) => picture(namespace, project, each));
      },
    };
  }

  const summaries = new Map();
  const unwatch = jobs.map((job) =>
    props.stream?.watch(`job:${namespace}/${project}/${job}`, (event) => {
      // A validation that draws writes the summary, too; most of what a job tells draws nothing.
      if (event && summaries.get(job) === event.summary) return;
      summaries.set(job, event?.summary);
      due.add(job);
      lister.refresh();
    }));
  const unkeys = addKeys("Pictures", [
    { keys: ",", label: "The step before", run: () => by(-1) },
    { keys: ".", label: "The next step", run: () => by(1) },
  ]);

  return {
    update(next) {
      props = next;
      if ((next.step ?? null) === step) return;
      step = next.step ?? null;
      moved();
      compare();
    },
    destroy() {
      clearTimeout(timer);
      lister.stop();
      comparer?.stop();
      unkeys();
      for (const end of unwatch) end?.();
    },
  };
}

function toldOf(disagreement) {
  if (disagreement === null) return "";
  return disagreement === 0 ? "all alike" : `differ by ${number(100 * disagreement, 2)}\u202f%`;
}

/** The image's own name: a picture's has `.png` behind it. */
function nameOf(file) {
  return file.replace(/\.png$/, "");
}
