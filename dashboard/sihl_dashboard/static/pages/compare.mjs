/** A project's jobs: which there are, what differs between those chosen, and what came of it. */
import { address, get, pathOf } from "../api.mjs";
import { el, replace, stylesheet } from "../dom.mjs";
import { addKeys } from "../keys.mjs";
import { loader } from "../loader.mjs";
import { MOST_JOBS, NONE, compareParams, compareViewOf } from "../parts/compareview.mjs";
import { arranged, askedPath, firstColumns, metricsOf } from "../parts/jobsmodel.mjs";
import { lazy } from "../parts/lazy.mjs";
import { nextJob } from "../parts/nextjob.mjs";
import { problem, troubles } from "../parts/problem.mjs";
import { table } from "../parts/table.mjs";
import { tableBar } from "../parts/tablebar.mjs";
import { go, href, onView, setView, view } from "../view.mjs";

/** So many curves show at first, where nobody has chosen yet. */
const FIRST_CHOSEN = 5;
const MOST_ROWS = 10_000;
const MOST_AXES = 7;

/** @type {function(HTMLElement, import("../main.mjs").Context): {destroy: function()}} */
export function compare(root, context) {
  const { namespace, project, stream, title, me } = context;
  const place = { namespace, project };
  title(project);
  const styled = Promise.all(["../chart.css", "../compare.css"].map((name) => stylesheet(import.meta.url, name)));

  const failed = el("div", {});
  const trouble = troubles();
  const barRoot = el("div", {});
  const tableRoot = el("div", {});
  const jobsPanel = el("section", { class: "panel", id: "jobs", "aria-labelledby": "jobs-title" },
    el("header", {}, el("h2", { id: "jobs-title" }, "Jobs")), barRoot, tableRoot);
  const parts = sections();
  parts.pictures.node.hidden = true;
  replace(root, el("h1", { class: "compare-title" }, project), failed, trouble.node, jobsPanel,
    el("div", { class: "compare-beside" }, parts.curves.node, parts.differences.node),
    parts.parallel.node, parts.pictures.node);

  let state = compareViewOf(view());
  // Pictures are many requests: what everybody looks at first comes first.
  let isDrawn = false;
  let found = { rows: [], columns: {}, total: 0, troubles: [] };
  let better = {};
  let betterOf = "";
  let version = 0;
  let bar = null;
  let jobs = null;
  let dialog = null;

  const change = (changes, options) => setView(compareParams(changes), options);
  const rows = () => arranged(found.rows, state);
  const columns = () => state.columns ?? firstColumns(found.columns);
  const chosen = () => state.jobs ?? rows().slice(0, FIRST_CHOSEN).map((row) => row.job);
  /** The oldest of the jobs chosen, until somebody chooses another. */
  const baseline = () => {
    if (state.baseline) return state.baseline === NONE ? null : state.baseline;
    const madeAt = (job) => found.rows.find((row) => row.job === job)?.values["job.createdAt"] ?? "~";
    return chosen().length < 2 ? null : chosen().reduce((a, b) => (madeAt(b) < madeAt(a) ? b : a));
  };
  const metric = () => state.metric ?? metricsOf(found.columns).find((path) => !path.endsWith("loss")) ?? metricsOf(found.columns)[0] ?? null;

  /** Settings that parallel coordinates show: those of the table, then others that differ. */
  function axes() {
    const first = columns().filter((path) => /^(?:spec|data)\./.test(path));
    const more = firstColumns(found.columns).filter((path) => /^(?:spec|data)\./.test(path));
    return [...new Set([...first, ...more])].slice(0, MOST_AXES);
  }

  function query(isExport = false) {
    const wanted = [...new Set([...columns(), ...(isExport ? [] : [state.group, "job.createdAt", metric(), ...axes()])].filter(Boolean))];
    return {
      columns: wanted.map((path) => askedPath(path, state.which)).join(","),
      where: state.where,
      sort: state.sort.replace(/^-/, "") === "name" ? null : state.sort,
      limit: MOST_ROWS,
    };
  }

  /** Which columns tell most is known only once the server has said which there are. */
  async function ask(signal) {
    await styled;
    const base = `${pathOf(namespace, project)}/jobs`;
    if (!Object.keys(found.columns).length) {
      found = { ...found, columns: (await get(base, { limit: 1 }, { signal })).columns };
    }
    return get(base, query(), { signal });
  }

  const source = loader(ask, {
    every: 1000,
    onData(data) {
      // The address lists paths with commas between them.
      const columns = Object.fromEntries(Object.entries(data.columns).filter(([path]) => !path.includes(",")));
      found = { ...data, columns };
      version++;
      replace(failed);
      trouble.update(data.troubles);
      render();
      learnBetter();
    },
    onError(error, isShown) {
      replace(failed, problem(error, { title: isShown ? "" : "This project cannot be shown" }));
      reveal(isShown);
    },
  });

  /** Which way is better, the jobs themselves say. */
  async function learnBetter() {
    const asked = chosen().slice(0, MOST_JOBS).join(",");
    if (!asked || asked === betterOf) return;
    betterOf = asked;
    try {
      better = (await get(`${pathOf(namespace, project)}/metrics`, { jobs: asked })).better;
      render();
    } catch {
      betterOf = ""; // Deltas then have no word; the curves tell what is wrong.
    }
  }

  function choose(job, isChosen) {
    const others = chosen().filter((each) => each !== job);
    change({ jobs: isChosen ? [...others, job].slice(-MOST_JOBS) : others });
  }

  function mark(job) {
    change({ baseline: job ?? NONE, ...(job && { jobs: chosen().includes(job) ? chosen() : [job, ...chosen()].slice(0, MOST_JOBS) }) });
  }

  function reveal(isShown) {
    jobsPanel.hidden = !isShown;
    for (const part of Object.values(parts)) part.node.hidden = !isShown || (part === parts.pictures && !isDrawn);
  }

  function render() {
    reveal(true);
    const shown = rows();
    const shared = { view: state, columns: columns(), chosen: chosen(), baseline: baseline(), which: state.which };
    const barProps = {
      ...shared, all: found.columns, onView: change, onChooseAll: chooseAll,
      counts: { shown: shown.length, total: found.total, chosen: chosen().length },
      exports: { csv: exported("csv"), json: exported("json") },
    };
    const tableProps = {
      ...place, ...shared, rows: shown, better, sort: state.sort, group: state.group,
      onChoose: choose, onBaseline: mark, onSort: (sort) => change({ sort }),
      onOpen: (job) => go(href(namespace, project, job)),
    };
    if (bar) bar.update(barProps);
    else bar = tableBar(barRoot, barProps);
    if (jobs) jobs.update(tableProps);
    else jobs = table(tableRoot, tableProps);
    renderParts(shown);
  }

  function renderParts(shown) {
    parts.curves.update({ jobs: chosen(), view: Object.fromEntries(view()) });
    parts.differences.update({ jobs: chosen(), baseline: baseline(), which: state.which, version });
    parts.parallel.update({
      rows: shown, settings: axes(), metric: metric(), metrics: metricsOf(found.columns), which: state.which,
      chosen: chosen(), choices: state.axes,
    });
    parts.pictures.update({ jobs: chosen(), step: state.step });
  }

  function drawn() {
    if (isDrawn) return;
    isDrawn = true;
    parts.pictures.node.hidden = jobsPanel.hidden;
  }

  function exported(ending) {
    return address(`${pathOf(namespace, project)}/export.${ending}`, query(true));
  }

  function chooseAll(isAll) {
    change({ jobs: isAll ? rows().slice(0, MOST_JOBS).map((row) => row.job) : [] });
  }

  function sections() {
    return {
      curves: lazy({ id: "curves", title: "Curves", keys: "g c", module: "curves", props: {
        ...place, jobs: compareViewOf(view()).jobs ?? [], view: Object.fromEntries(view()), onView: (changes) => setView(changes), live: stream,
        onDrawn: drawn,
        onPoint: ({ job, clock }) => go(href(namespace, project, job, { at: clock })),
      } }),
      differences: lazy({ id: "differences", title: "What differs", keys: "g d", module: "differences", props: {
        ...place, jobs: [], baseline: null, which: "best", version: 0, onBaseline: (job) => mark(job),
        onNextJob: (job, differing) => {
          dialog?.destroy();
          dialog = nextJob({ ...place, job, differing, canAct: me.canAct, paths: Object.keys(found.columns).filter((path) => path.startsWith("spec.")) });
        },
      } }),
      parallel: lazy({ id: "parallel", title: "What was tried, and what came of it", keys: "g t", module: "parallel", props: {
        rows: [], settings: [], metric: null, metrics: [], which: "best", chosen: [], choices: {},
        onChoices: (choices) => change({ axes: choices }),
        onMetric: (path) => change({ metric: path }), onChoose: (job, isChosen) => choose(job, isChosen),
        onFilter: (conditions) => change({ where: [...new Set([...state.where, ...conditions])] }, { push: true }),
      } }),
      pictures: lazy({ id: "pictures", title: "Pictures of validation", keys: "g v", module: "pictures", whenSeen: true, props: {
        ...place, jobs: [], step: null, stream, onStep: (step) => change({ step }),
      } }),
    };
  }

  /** The address changed: ask again only for what the server has to say. */
  function viewed() {
    const next = compareViewOf(view());
    if (JSON.stringify(next) === JSON.stringify(state)) {
      parts.curves.update({ view: Object.fromEntries(view()) });
      return;
    }
    const before = JSON.stringify(query());
    state = next;
    if (JSON.stringify(query()) !== before) source.refresh();
    render();
    learnBetter();
  }

  const ends = [
    stream.watch(`project:${namespace}/${project}`, source.refresh),
    onView(viewed),
    addKeys("Project", [
      { keys: "↑ ↓", label: "In the table: to another job" },
      { keys: "Space", label: "In the table: choose the job" },
      { keys: "b", label: "In the table: make it the baseline" },
      { keys: "Enter", label: "In the table: open the job" },
      { keys: "← →", label: "In a chart: along the curve; ↑ ↓ to another, + − 0 zoom, Enter to the log" },
      ...Object.values(parts).map((part) => ({ keys: part.keys, label: `Go to ${part.title.toLowerCase()}`, run: () => part.focus() })),
    ]),
  ];

  return {
    destroy() {
      source.stop();
      for (const end of ends) end();
      for (const part of Object.values(parts)) part.destroy();
      bar?.destroy();
      jobs?.destroy();
      dialog?.destroy();
    },
  };
}
