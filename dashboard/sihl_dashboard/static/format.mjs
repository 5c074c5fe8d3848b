/** Numbers, times and sizes as a person reads them. What is missing is shown as an en dash. */

export const NONE = "–";

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;

/** A measured value: four significant digits, as many as tell two runs apart. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || value === "") return NONE;
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return integer(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(Math.max(digits - 2, 1)).replace("-", "−");
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value.toFixed(Math.min(decimals, 8)).replace("-", "−");
}

/** 12 345: thin spaces, which no language takes for a decimal point. */
export function integer(value) {
  if (value === null || value === undefined) return NONE;
  return Math.round(value).toString().replace("-", "−").replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** A difference, with its sign. */
export function signed(value, digits = 4) {
  if (typeof value !== "number" || !Number.isFinite(value)) return number(value, digits);
  return value > 0 ? `+${number(value, digits)}` : number(value, digits);
}

/** 0.421 -> 42 %, never 100 % before it is. */
export function percent(fraction) {
  if (typeof fraction !== "number" || !Number.isFinite(fraction)) return NONE;
  return `${Math.floor(fraction * 100 + 1e-9)}\u202f%`;
}

/** Seconds in two units at most: 45 s, 2 min 5 s, 3 h 20 min, 2 d 4 h. */
export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return NONE;
  const all = Math.max(0, seconds);
  if (all < 10) return `${Math.round(all * 10) / 10} s`;
  const whole = Math.round(all);
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return two(Math.floor(whole / MINUTE), "min", whole % MINUTE, "s");
  const minutes = Math.round(whole / MINUTE);
  if (minutes < 1440) return two(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(whole / HOUR);
  return two(Math.floor(hours / 24), "d", hours % 24, "h");
}

function two(big, bigUnit, small, smallUnit) {
  return small ? `${big} ${bigUnit} ${small} ${smallUnit}` : `${big} ${bigUnit}`;
}

/** Go's and Kubernetes' 1h2m30s as seconds; null where it is none. */
export function goSeconds(text) {
  const units = { d: DAY, h: HOUR, m: MINUTE, s: 1, ms: 0.001 };
  let found = null;
  for (const [, amount, unit] of String(text ?? "").matchAll(/(\d+(?:\.\d+)?)(ms|[dhms])/g)) {
    found = (found ?? 0) + Number(amount) * units[unit];
  }
  return found;
}

/** Seconds since 1970 of an RFC 3339 time; null where it is none. */
export function clock(text) {
  const time = typeof text === "string" ? Date.parse(text) : NaN;
  return Number.isFinite(time) ? time / 1000 : null;
}

const MOMENT = { hour: "2-digit", minute: "2-digit" };
const SECOND = { ...MOMENT, second: "2-digit" };
const FORMS = {
  dateTime: { year: "numeric", month: "short", day: "numeric", ...SECOND },
  dayTime: { month: "short", day: "numeric", ...MOMENT },
  time: MOMENT,
  secondTime: SECOND,
};
const made = {};

/** Made when it is first needed: each takes milliseconds, for which no page waits. */
function formatted(form, seconds) {
  made[form] ??= new Intl.DateTimeFormat("en-GB", FORMS[form]);
  return made[form].format(seconds * 1000);
}

/** 26 Nov 2026, 01:31:45 in the viewer's time; from seconds since 1970, or RFC 3339. */
export function dateTime(time) {
  const seconds = typeof time === "number" ? time : clock(time);
  return seconds === null || Number.isNaN(seconds) ? NONE : formatted("dateTime", seconds);
}

/** The same, as short as its day allows. */
export function shortTime(time, now = Date.now() / 1000) {
  const seconds = typeof time === "number" ? time : clock(time);
  if (seconds === null || Number.isNaN(seconds)) return NONE;
  return formatted(Math.abs(now - seconds) < DAY / 2 ? "time" : "dayTime", seconds);
}

/** 01:31:45 in the viewer's time; from seconds since 1970. */
export function exactTime(seconds) {
  return formatted("secondTime", seconds);
}

/** How long ago, in one unit: 40 s ago, 12 min ago, 5 h ago, 3 d ago. */
export function ago(time, now = Date.now() / 1000) {
  const seconds = typeof time === "number" ? time : clock(time);
  if (seconds === null || Number.isNaN(seconds)) return NONE;
  const passed = Math.max(0, now - seconds);
  if (passed < MINUTE) return `${Math.floor(passed)} s ago`;
  if (passed < 2 * HOUR) return `${Math.floor(passed / MINUTE)} min ago`;
  if (passed < 2 * DAY) return `${Math.floor(passed / HOUR)} h ago`;
  return `${Math.floor(passed / DAY)} d ago`;
}

/** 1.4 GiB. */
export function bytes(count) {
  if (typeof count !== "number" || !Number.isFinite(count)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "1 job", "2 jobs". */
export function count(amount, one, many = `${one}s`) {
  return `${integer(amount)} ${amount === 1 ? one : many}`;
}
