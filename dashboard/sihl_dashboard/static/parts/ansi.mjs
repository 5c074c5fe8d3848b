/**
 * A line of a terminal as text in classes: colours become spans, all other orders to a terminal are left
 * out, and what a carriage return wrote over is folded. Text only: what a log holds is hostile.
 */

// CSI orders (ESC [ ... letter), OSC strings (ESC ] ... BEL or ESC \), and two-letter escapes. Each
// class of characters ends the one before it, so that no text makes this slow.
const ORDER = /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?/g;
// What has no shape of its own is shown as programs spell it: \x00 for NUL.
const INVISIBLE = /[\x00-\x08\x0b-\x1f\x7f]/g;

/**
 * @typedef {{text: string, classes: string}} Piece
 * @param {string} line without its newline
 * @returns {Piece[]} its text in order; none is empty
 */
export function pieces(line) {
  const found = [];
  const look = plain();
  let at = 0;
  for (const match of line.matchAll(ORDER)) {
    add(found, line.slice(at, match.index), look);
    if (match[2] === "m") turn(look, match[1]);
    at = match.index + match[0].length;
  }
  add(found, line.slice(at), look);
  return found;
}

/**
 * What a terminal would show of a line that went back to its beginning: the last of what was written
 * there. Colours that were set before hold on.
 *
 * @param {string} line
 * @returns {{text: string, folded: number}} and how many are folded away
 */
export function folded(line) {
  const turns = line.split("\r").filter((part, index, all) => part || index < all.length - 1);
  if (turns.length < 2) return { text: turns[0] ?? "", folded: 0 };
  const text = turns.pop();
  const colours = turns.join("").match(/\x1b\[[0-9;:]*m/g) ?? [];
  return { text: colours.slice(-8).join("") + text, folded: turns.length };
}

/** The text alone. */
export function bare(line) {
  return pieces(line).map((piece) => piece.text).join("");
}

function plain() {
  return { ink: null, ground: null, bold: false, dim: false, italic: false, under: false,
    struck: false, inverse: false };
}

function add(found, text, look) {
  if (!text) return;
  const shown = text.replace(INVISIBLE, escaped);
  const classes = classesOf(look);
  const last = found[found.length - 1];
  if (last && last.classes === classes) last.text += shown;
  else found.push({ text: shown, classes });
}

function escaped(character) {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

function classesOf(look) {
  const names = [];
  // On a coloured ground the ink is ours: of the pairs that a log may ask for, most cannot be read.
  const ground = look.inverse ? (look.ink ?? "inverse") : look.ground;
  if (ground !== null) names.push(`on-${ground}`);
  else if (look.ink !== null) names.push(`ink-${look.ink}`);
  else if (look.dim) names.push("dim");
  for (const name of ["bold", "italic", "under", "struck"]) if (look[name]) names.push(name);
  return names.join(" ");
}

/** Selects graphic renditions (ECMA-48, 8.3.117), with xterm's colours, which may come with colons. */
function turn(look, order) {
  const codes = order.split(/[;:]/).slice(0, 32).map((code) => Number(code || 0));
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at];
    if (code === 0) Object.assign(look, plain());
    else if (code === 1) look.bold = true;
    else if (code === 2 || code === 8) look.dim = true; // what would be hidden is better seen
    else if (code === 3) look.italic = true;
    else if (code === 4) look.under = true;
    else if (code === 7) look.inverse = true;
    else if (code === 9) look.struck = true;
    else if (code === 22) look.bold = look.dim = false;
    else if (code === 23) look.italic = false;
    else if (code === 24) look.under = false;
    else if (code === 27) look.inverse = false;
    else if (code === 28) look.dim = false;
    else if (code === 29) look.struck = false;
    else if (code >= 30 && code <= 37) look.ink = code - 30;
    else if (code >= 90 && code <= 97) look.ink = code - 90;
    else if (code >= 40 && code <= 47) look.ground = code - 40;
    else if (code >= 100 && code <= 107) look.ground = code - 100;
    else if (code === 39) look.ink = null;
    else if (code === 49) look.ground = null;
    else if (code === 38 || code === 48) {
      const [colour, taken] = extended(codes.slice(at + 1));
      look[code === 38 ? "ink" : "ground"] = colour;
      at += taken;
    }
  }
}

/** 256 colours and true colour, as the nearest of the eight that are known to be readable. */
function extended([kind, ...rest]) {
  if (kind === 5) return [ofPalette(rest[0] ?? 0), 2];
  if (kind === 2) return [nearest(rest[0] ?? 0, rest[1] ?? 0, rest[2] ?? 0), 4];
  return [null, 1];
}

function ofPalette(number) {
  if (number < 16) return number % 8;
  if (number >= 232) return number < 244 ? 0 : 7;
  const level = (part) => (part ? 55 + 40 * part : 0);
  const cube = number - 16;
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function nearest(red, green, blue) {
  const half = Math.max(red, green, blue) / 2;
  return (red > half ? 1 : 0) + (green > half ? 2 : 0) + (blue > half ? 4 : 0);
}
