/** What each experiment changed and whether it helped, in a sentence beside the figures. */
import { el } from "../dom.mjs";
import { number, signed } from "../format.mjs";
import { swatch } from "./colours.mjs";

/** Beyond these a sentence tells less than the table does. */
const MOST_JOBS = 6;
const MOST_CHANGES = 3;

/**
 * @param {object} found what differs, as the server answers it
 * @param {string[]} jobs folders
 * @param {string|null} baseline
 * @param {Map<string, string>} labels
 * @returns {HTMLElement|null}
 */
export function verdicts(found, jobs, baseline, labels) {
  const others = jobs.filter((job) => job !== baseline);
  if (!jobs.includes(baseline) || !others.length || others.length > MOST_JOBS) return null;
  const base = labels.get(baseline);
  return el(
    "ul",
    { class: "plain verdicts" },
    others.map((job) =>
      el(
        "li",
        {},
        swatch(job),
        el("p", {}, outcome(found, job, labels.get(job), base), " ", changed(found, job, baseline)),
      ),
    ),
  );
}

/** By the first metric that both have and that says which way is better. */
function outcome({ scores, spreads }, job, label, base) {
  const of = scores.filter((score) => score.job === job && score.delta !== null);
  const score = of.find(({ isBetter }) => isBetter !== null) ?? of.find(({ delta }) => delta === 0);
  if (!score) return [el("b", {}, label), ` cannot be held against ${base}: they share no metric of validation.`];
  const spread = spreads.find(({ metric }) => metric === score.metric);
  const isNoise = spread && Math.abs(score.delta) <= 2 * spread.deviation;
  const word = score.delta === 0 ? "as good as" : score.isBetter ? "better than" : "worse than";
  const name = score.metric.split("/").slice(1).join("/");
  return [
    el("b", {}, label),
    " is ",
    el("b", { class: `delta is-${score.delta === 0 ? "same" : score.isBetter ? "better" : "worse"}` }, word),
    ` ${base}: ${name} ${number(score.value)}`,
    score.delta === 0 ? "" : `, ${signed(score.delta, 3)}`,
    isNoise ? ", which another seed may do as well." : ".",
  ];
}

function changed({ settings, dataset }, job, baseline) {
  const differ = ({ values }) => JSON.stringify(values[job]) !== JSON.stringify(values[baseline]);
  const made = settings.filter(differ);
  const data = dataset.some(differ) ? "data" : "";
  if (!made.length && !data) return "Nothing that the records tell was changed.";
  if (made.length > MOST_CHANGES) return `It has ${made.length} other settings${data && " and other data"}.`;
  const words = made.map(({ path, values }) => [
    el("code", { title: path }, path.split(".").at(-1)),
    ` ${told(values, job)} instead of ${told(values, baseline)}`,
  ]);
  if (data) words.push("other data");
  return ["It has ", words.flatMap((each, at) => [separator(at, words.length), each]), "."];
}

function separator(at, count) {
  return at === 0 ? "" : at === count - 1 ? " and " : ", ";
}

function told(values, job) {
  const text = String(values[job] ?? "none");
  return text.length > 28 ? `${text.slice(0, 27)}…` : text;
}
