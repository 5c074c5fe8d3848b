/**
 * The look of a job's line: a colour and a dash pattern that stay with the job.
 *
 * A job's uid says which colour it would like. Two jobs that would like the same one get
 * different ones as long as there are any, and keep what they got: hiding a job, or taking it
 * out of the comparison, changes no other's. The palette (chart.css) has eight colours that also
 * people without red, green or blue cones tell apart; from the ninth job on dashes tell more.
 */
import { svg } from "../dom.mjs";

export const COLOURS = 8;
const DASHES = [[], [7, 4], [2, 3], [12, 3, 2, 3], [16, 6]];
const DASH_NAMES = ["solid", "dashed", "dotted", "dash-dotted", "long-dashed"];

/** @typedef {{colour: number, dash: number[], dashName: string}} Look */

/** Looks given so far in this tab, by uid. @type {Map<string, Look>} */
const given = new Map();
const takers = new Array(COLOURS).fill(0);

/**
 * The uid in a record's folder, `<name>.<uid>`.
 * @param {string} folder
 */
export function uidOf(folder) {
  return folder.slice(folder.lastIndexOf(".") + 1);
}

/**
 * A job's look, which it keeps.
 * @param {string} folder of the job's record
 * @returns {Look}
 */
export function lookOf(folder) {
  const uid = uidOf(folder);
  let look = given.get(uid);
  if (!look) {
    look = pick(hash(uid));
    given.set(uid, look);
  }
  return look;
}

/**
 * Gives looks in this order, whoever asks for them first: the same address shows the same colours.
 * @param {string[]} folders
 */
export function giveLooks(folders) {
  folders.forEach(lookOf);
}

function pick(wish) {
  const fewest = Math.min(...takers);
  for (let offset = 0; ; offset++) {
    const colour = (wish + offset) % COLOURS;
    if (takers[colour] === fewest) {
      const dash = takers[colour]++ % DASHES.length;
      return { colour, dash: DASHES[dash], dashName: DASH_NAMES[dash] };
    }
  }
}

/** FNV-1a: uids of jobs that were made together differ by little, their hashes by much. */
function hash(text) {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  return (value ^ (value >>> 15)) >>> 0;
}

/**
 * A short piece of the job's line, for legends and tables.
 * @param {string} folder of the job's record
 * @returns {SVGElement}
 */
export function swatch(folder) {
  const { colour, dash } = lookOf(folder);
  return svg(
    "svg",
    { class: `swatch curve-${colour}`, viewBox: "0 0 28 8", "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 28, y1: 4, y2: 4, "stroke-dasharray": dash.join(" ") }),
  );
}
