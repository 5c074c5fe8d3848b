/** A project's jobs: which there are, what differs between those chosen, and what came of it. */
import { address, get, pathOf } from "../api.mjs";
import { el, replace, stylesheet } from "../dom.mjs";
import { addKeys } from "../keys.mjs";
import { loader } from "../loader.mjs";
import { askable, comparison, foldersOf, questionOf, withJob } from "../parts/comparemodel.mjs";
import { comparesections } from "../parts/comparesections.mjs";
import { giveLooks } from "../parts/colours.mjs";
import { NONE, compareParams, compareViewOf } from "../parts/compareview.mjs";
import { metricsOf } from "../parts/jobsmodel.mjs";
import { nextJob } from "../parts/nextjob.mjs";
import { problem, troubles } from "../parts/problem.mjs";
import { table } from "../parts/table.mjs";
import { tableBar } from "../parts/tablebar.mjs";
import { go, href, onView, setView, view } from "../view.mjs";

const LONGEST_WAIT = 1500; // milliseconds

/** @type {function(HTMLElement, import("../main.mjs").Context): {destroy: function()}} */
export function compare(root, context) {
  const { namespace, project, stream, title, me } = context;
  const place = { namespace, project };
  const base = pathOf(namespace, project);
  title(project);
  const styled = Promise.all(
    ["../chart.css", "../compare.css"].map((name) => stylesheet(import.meta.url, name)),
  );

  const failed = el("div", {});
  const trouble = troubles();
  const barRoot = el("div", {});
  const tableRoot = el("div", {});
  const jobsPanel = el(
    "section",
    { class: "panel", id: "jobs", "aria-labelledby": "jobs-title" },
    el("header", {}, el("h2", { id: "jobs-title" }, "Jobs")),
    barRoot,
    tableRoot,
  );
  const parts = comparesections(place, stream, { drawn, change, choose, mark, filter, next });
  const below = [parts.parallel, parts.pictures];
  for (const part of below) part.node.hidden = true;
  replace(
    root,
    el("h1", { class: "compare-title" }, project),
    failed,
    trouble.node,
    jobsPanel,
    el("div", { class: "compare-beside" }, parts.differences.node, parts.curves.node),
    parts.parallel.node,
    parts.pictures.node,
  );

  let state = compareViewOf(view());
  giveLooks(state.jobs ?? []);
  let found = { rows: [], columns: {}, total: 0, look: {} };
  let shown = comparison(found, state);
  // What everybody looks at first comes first: the other parts wait for a curve, but not for long.
  let isDrawn = false;
  const patience = setTimeout(drawn, LONGEST_WAIT);
  let better = {};
  let betterOf = "";
  let version = 0;
  let bar = null;
  let jobs = null;
  let dialog = null;

  /** Which columns tell most is known only once the server has said which there are. */
  async function ask(signal) {
    if (!Object.keys(found.columns).length) {
      const [{ columns }] = await Promise.all([get(`${base}/jobs`, { limit: 1 }, { signal }), styled]);
      found = { ...found, columns: askable(columns) };
      shown = comparison(found, state);
    }
    return get(`${base}/jobs`, questionOf(shown, state), { signal });
  }

  const source = loader(ask, {
    every: 1000,
    onData(data) {
      found = { ...data, columns: askable(data.columns) };
      version++;
      replace(failed);
      trouble.update(data.troubles);
      render();
    },
    onError(error, isShown) {
      replace(failed, problem(error, { title: isShown ? "" : "This project cannot be shown" }));
      reveal(isShown);
    },
  });

  /** Which way is better, the jobs themselves say. */
  async function learnBetter() {
    const asked = shown.chosen.join(",");
    if (!asked || asked === betterOf) return;
    betterOf = asked;
    try {
      better = (await get(`${base}/metrics`, { jobs: asked })).better;
      render();
    } catch {
      betterOf = ""; // Deltas then have no word; the curves tell what is wrong.
    }
  }

  function change(changes, options) {
    setView(compareParams(changes), options);
  }

  function choose(job, isChosen) {
    change({ jobs: withJob(shown.chosen, job, isChosen) });
  }

  function mark(job) {
    const isNew = job !== null && !shown.chosen.includes(job);
    change({ baseline: job ?? NONE, ...(isNew && { jobs: withJob(shown.chosen, job, true) }) });
  }

  function filter(conditions) {
    change({ where: [...new Set([...state.where, ...conditions])] }, { push: true });
  }

  function next(job, differing) {
    dialog?.destroy();
    const paths = Object.keys(found.columns).filter((path) => path.startsWith("spec."));
    dialog = nextJob({ ...place, job, differing, paths, canAct: me.canAct });
  }

  function drawn() {
    if (isDrawn) return;
    isDrawn = true;
    if (!version) return;
    reveal(!jobsPanel.hidden);
    renderParts();
  }

  function reveal(isShown) {
    jobsPanel.hidden = !isShown;
    for (const part of Object.values(parts)) {
      part.node.hidden = !isShown || (below.includes(part) && !isDrawn);
    }
  }

  function render() {
    shown = comparison(found, state);
    giveLooks(shown.chosen);
    reveal(true);
    renderTable();
    renderParts();
    learnBetter();
  }

  function renderTable() {
    const { rows, columns, chosen, baseline } = shown;
    const barProps = {
      view: state,
      columns,
      all: found.columns,
      look: found.look,
      counts: { shown: rows.length, total: found.total, chosen: chosen.length },
      exports: { csv: exported("csv"), json: exported("json") },
      onView: change,
      onChooseAll: (isAll) => change({ jobs: isAll ? foldersOf(rows) : [] }),
    };
    const { sort, group, which } = state;
    const tableProps = {
      ...place,
      ...{ rows, columns, chosen, baseline, better, sort, group, which },
      onChoose: choose,
      onBaseline: mark,
      onSort: (path) => change({ sort: path }),
      onOpen: (job) => go(href(namespace, project, job)),
    };
    if (bar) bar.update(barProps);
    else bar = tableBar(barRoot, barProps);
    if (jobs) jobs.update(tableProps);
    else jobs = table(tableRoot, tableProps);
  }

  function renderParts() {
    const { rows, chosen, baseline, metric, settings } = shown;
    const { which, axes, step } = state;
    parts.curves.update({ jobs: chosen, view: Object.fromEntries(view()) });
    if (!isDrawn) return;
    parts.differences.update({ jobs: chosen, baseline, which, version });
    const metrics = metricsOf(found.columns);
    parts.parallel.update({ rows, settings, metric, metrics, which, chosen, choices: axes });
    parts.pictures.update({ jobs: chosen, step });
  }

  function exported(ending) {
    return address(`${base}/export.${ending}`, questionOf(shown, state, { isExport: true }));
  }

  /** The address changed: ask again only for what the server has to say. */
  function viewed() {
    const now = compareViewOf(view());
    if (JSON.stringify(now) === JSON.stringify(state)) {
      parts.curves.update({ view: Object.fromEntries(view()) });
      return;
    }
    const before = JSON.stringify(questionOf(shown, state));
    state = now;
    render();
    if (JSON.stringify(questionOf(shown, state)) !== before) source.refresh();
  }

  const ends = [
    stream.watch(`project:${namespace}/${project}`, source.refresh),
    onView(viewed),
    addKeys("Project", [
      { keys: "↑ ↓", label: "In the table: to another job" },
      { keys: "Space", label: "In the table: choose the job" },
      { keys: "b", label: "In the table: make it the baseline" },
      { keys: "Enter", label: "In the table: open the job" },
      ...Object.values(parts).map((part) => ({
        keys: part.keys,
        label: `Go to ${part.title.toLowerCase()}`,
        run: () => part.focus(),
      })),
    ]),
  ];

  return {
    destroy() {
      source.stop();
      clearTimeout(patience);
      for (const end of ends) end();
      for (const part of Object.values(parts)) part.destroy();
      bar?.destroy();
      jobs?.destroy();
      dialog?.destroy();
    },
  };
}
