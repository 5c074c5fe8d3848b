/** The compare page's sections below its table, each loaded by itself. */
import { go, href, setView, view } from "../view.mjs";
import { compareViewOf } from "./compareview.mjs";
import { lazy } from "./lazy.mjs";

/**
 * @param {{namespace: string, project: string}} place
 * @param {import("../stream.mjs").Stream} stream
 * @param {object} acts
 * @param {() => void} acts.drawn hears that curves are to be seen
 * @param {(changes: Partial<import("./compareview.mjs").CompareView>) => void} acts.change
 * @param {(job: string, isChosen: boolean) => void} acts.choose
 * @param {(job: string|null) => void} acts.mark makes a job the baseline
 * @param {(conditions: string[]) => void} acts.filter
 * @param {(job: string, differing: object[]) => void} acts.next begins the next job
 */
export function comparesections(place, stream, acts) {
  return {
    curves: lazy({
      id: "curves",
      title: "Curves",
      keys: "g c",
      module: "curves",
      props: {
        ...place,
        jobs: compareViewOf(view()).jobs ?? [],
        view: Object.fromEntries(view()),
        onView: (changes) => setView(changes),
        live: stream,
        onDrawn: acts.drawn,
        onPoint: ({ job, clock }) => go(href(place.namespace, place.project, job, { at: clock })),
      },
    }),
    differences: lazy({
      id: "differences",
      title: "What differs",
      keys: "g d",
      module: "differences",
      props: {
        ...place,
        jobs: [],
        baseline: null,
        which: "best",
        version: 0,
        onBaseline: acts.mark,
        onNextJob: acts.next,
      },
    }),
    parallel: lazy({
      id: "parallel",
      title: "What was tried, and what came of it",
      keys: "g t",
      module: "parallel",
      props: {
        rows: [],
        settings: [],
        metric: null,
        metrics: [],
        which: "best",
        chosen: [],
        choices: {},
        onChoices: (axes) => acts.change({ axes }),
        onMetric: (metric) => acts.change({ metric }),
        onChoose: acts.choose,
        onFilter: acts.filter,
      },
    }),
    pictures: lazy({
      id: "pictures",
      title: "Pictures of validation",
      keys: "g v",
      module: "pictures",
      whenSeen: true,
      props: { ...place, jobs: [], step: null, stream, onStep: (step) => acts.change({ step }) },
    }),
  };
}
