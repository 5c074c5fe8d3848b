/** Only what differs between jobs, and what came of it. */
import { get, pathOf } from "../api.mjs";
import { el, replace } from "../dom.mjs";
import { NONE, integer, number, signed } from "../format.mjs";
import { swatch } from "./colours.mjs";
import { labelsOf } from "./jobnames.mjs";
import { problem, troubles } from "./problem.mjs";
import { verdicts } from "./verdict.mjs";

/** Texts beyond this are cut, and hashes as everywhere: that they differ is what they tell. */
const LONG = 28;
const HASH = /^[0-9a-f]{32,}$/;
const HASH_SHOWN = 8;
const MOST_NAMED = 6;

/**
 * @typedef {object} DifferencesProps
 * @property {string} namespace
 * @property {string} project
 * @property {string[]} jobs folders, two or more
 * @property {string|null} baseline folder
 * @property {"best"|"last"} which value of a metric counts
 * @property {number} version grows when the jobs may have new values
 * @property {(job: string|null) => void} onBaseline
 * @property {(job: string, differing: {path: string, values: object}[]) => void} onNextJob
 */

/**
 * @param {HTMLElement} root
 * @param {DifferencesProps} props
 * @returns {{update(props: Partial<DifferencesProps>): void, destroy(): void}}
 */
export function differences(root, props) {
  const label = "What differs between the jobs chosen";
  const trouble = troubles();
  const note = el("div", {});
  const said = el("div", {});
  const sheet = el("table", { class: "differences-table" });
  const box = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, sheet);
  const seeds = el("section", { class: "spreads" });
  const body = el("div", { class: "differences" }, note, said, box, seeds);
  root.append(trouble.node, body);
  let asked = "";
  let shown = "";
  let current = null;

  async function ask() {
    const key = JSON.stringify([props.jobs, props.baseline, props.which, props.version]);
    if (key === asked) return;
    asked = key;
    current?.abort();
    const mine = (current = new AbortController());
    if (props.jobs.length < 1) {
      if (props.version) say(el("p", { class: "empty" }, "Choose jobs in the table to compare them."));
      return;
    }
    try {
      const found = await get(
        `${pathOf(props.namespace, props.project)}/differences`,
        {
          jobs: props.jobs.join(","),
          baseline: props.jobs.includes(props.baseline) ? props.baseline : null,
          which: props.which,
        },
        { signal: mine.signal },
      );
      if (!mine.signal.aborted) show(found);
    } catch (error) {
      if (!mine.signal.aborted) {
        asked = "";
        say(problem(error));
      }
    }
  }

  /** The baseline stands before what is compared with it. */
  const ordered = () => [...props.jobs].sort((a, b) => (b === props.baseline) - (a === props.baseline));

  /** Something else than differences. */
  function say(node) {
    shown = "";
    replace(note, node);
    said.hidden = box.hidden = seeds.hidden = true;
  }

  /** Only what is new is made anew: whoever reads on keeps their place. */
  function show(found) {
    const key = JSON.stringify([found, props.jobs, props.baseline]);
    if (key === shown) return;
    shown = key;
    const focused = document.activeElement?.closest?.("[data-again]")?.dataset.again;
    const labels = labelsOf(props.jobs);
    const isAlone = props.jobs.length < 2;
    trouble.update(found.troubles);
    replace(note);
    said.hidden = box.hidden = seeds.hidden = false;
    replace(said, isAlone ? alone() : verdicts(found, ordered(), props.baseline, labels));
    replace(
      sheet,
      el("caption", { class: "unseen" }, label),
      heading(found, labels),
      part("Outcome", scoreRows(found)),
      part(
        "Settings",
        factRows(found.settings, () => true),
        isAlone || found.settings.length ? "" : "No setting differs.",
      ),
      part(
        "Dataset",
        factRows(found.dataset, (job) => !found.unknownData.includes(job)),
        dataNote(found),
      ),
    );
    replace(seeds, spreads(found.spreads, labels));
    if (focused) body.querySelector(`[data-again="${CSS.escape(focused)}"]`)?.focus();
  }

  function alone() {
    return el("p", { class: "faint" }, "Choose another job in the table to see what differs.");
  }

  function heading(found, labels) {
    return el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("td", {}),
        ordered().map((job) => {
          const isBase = job === props.baseline;
          return el(
            "th",
            { scope: "col" },
            el("div", { class: "differences-job" }, swatch(job), el("span", { title: job }, labels.get(job))),
            el(
              "div",
              { class: "differences-acts" },
              el(
                "button",
                {
                  type: "button",
                  class: "quiet",
                  "aria-pressed": String(isBase),
                  "aria-label": `Baseline: ${labels.get(job)}`,
                  data: { again: `base ${job}` },
                  onclick: () => props.onBaseline(isBase ? null : job),
                },
                isBase ? "★ baseline" : "☆",
              ),
              el(
                "button",
                {
                  type: "button",
                  class: "quiet",
                  "aria-label": `Next job from ${labels.get(job)}`,
                  data: { again: `next ${job}` },
                  onclick: () => props.onNextJob(job, found.settings),
                },
                "Next job …",
              ),
            ),
          );
        }),
      ),
    );
  }

  function part(title, rows, note = "") {
    if (!rows.length && !note) return null;
    return el(
      "tbody",
      {},
      el(
        "tr",
        { class: "differences-part" },
        el(
          "th",
          { scope: "rowgroup", colspan: String(props.jobs.length + 1) },
          title,
          note ? el("span", { class: "faint" }, ` ${note}`) : null,
        ),
      ),
      rows,
    );
  }

  function dataNote({ dataset, unknownData }) {
    if (props.jobs.length < 2) return "";
    if (unknownData.length === props.jobs.length) return "These records do not tell their data.";
    if (!dataset.length) return "The same data, as far as the records tell.";
    return "";
  }

  function factRows(facts, isKnown) {
    return facts.map(({ path, values }) => {
      const base = values[props.baseline];
      return el(
        "tr",
        {},
        el("th", { scope: "row", title: path }, shortened(path)),
        ordered().map((job) => {
          const value = values[job];
          const isSame =
            props.baseline && job !== props.baseline && JSON.stringify(value) === JSON.stringify(base);
          const text = !isKnown(job) ? "unknown" : job in values ? textOf(value) : "not set";
          const short = cut(text);
          return el(
            "td",
            { class: isSame ? "is-same" : "", title: short === text ? null : text },
            isSame ? "same" : short,
          );
        }),
      );
    });
  }

  function scoreRows(found) {
    const metrics = [...new Set(found.scores.map((score) => score.metric))];
    return metrics.map((metric) => {
      const scores = new Map(
        found.scores.filter((score) => score.metric === metric).map((score) => [score.job, score]),
      );
      const noise = found.spreads.find((spread) => spread.metric === metric);
      return el(
        "tr",
        {},
        el("th", { scope: "row", title: metric }, breakable(metric.split(/(?<=\/)/))),
        ordered().map((job) => el("td", {}, scoreCell(scores.get(job), noise))),
      );
    });
  }

  function scoreCell(score, noise) {
    if (!score || score.value === null) return NONE;
    const step = el("span", { class: "faint small" }, ` at ${integer(score.step)}`);
    const value = el("span", { class: "num" }, number(score.value), score.step === null ? null : step);
    if (score.delta === null) return value;
    const word =
      score.delta === 0 ? "equal" : score.isBetter === null ? "" : score.isBetter ? "better" : "worse";
    const isNoise = noise && Math.abs(score.delta) <= 2 * noise.deviation;
    return [
      value,
      el(
        "div",
        { class: `delta is-${word || "same"}` },
        `${signed(score.delta, 3)} ${word}`,
        isNoise
          ? el(
              "span",
              { class: "faint", title: "At most twice the deviation of jobs that differ by their seed only" },
              "like another seed",
            )
          : null,
      ),
    ];
  }

  function spreads(all, labels) {
    if (!all.length) return null;
    return [
      el("h3", {}, "Spread of jobs that differ by their seed only"),
      el(
        "ul",
        { class: "plain" },
        all.map((spread) =>
          el("li", {}, el("b", {}, spread.metric), ` ${spreadText(spread)} `, whose(spread, labels)),
        ),
      ),
    ];
  }

  ask();
  return {
    update(next) {
      props = { ...props, ...next };
      ask();
    },
    destroy() {
      current?.abort();
      trouble.node.remove();
      body.remove();
    },
  };
}

/** As a job's own page has it. */
function textOf(value) {
  return value === null ? "none" : String(value);
}

function cut(text) {
  const most = HASH.test(text) ? HASH_SHOWN : LONG - 1;
  return text.length > most + 1 ? `${text.slice(0, most)}…` : text;
}

/** What comes before a setting's own name is the less telling part. */
function shortened(path) {
  const words = path.replace(/^spec\./, "").split(/(?<=\.)/);
  const last = words.pop();
  return [el("span", { class: "faint" }, breakable(words)), last];
}

/** Words between which a line may end. */
function breakable(words) {
  return words.map((word) => [word, el("wbr")]);
}

function spreadText({ mean, deviation, min, max }) {
  return `${number(mean)} ± ${number(deviation, 2)} (${number(min)} to ${number(max)})`;
}

function whose({ jobs }, labels) {
  const names = jobs.slice(0, MOST_NAMED).map((job) => labels.get(job) ?? job);
  const rest = jobs.length - names.length;
  return el("span", { class: "faint" }, names.join(", "), rest ? ` and ${rest} more` : "");
}
