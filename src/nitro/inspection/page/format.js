// @ts-check
/** How figures, times and lengths of time are written. A figure is never torn from its unit. */

const whole = new Intl.NumberFormat("en");
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const times = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const dates = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** A number with at most three figures and a unit. @param {number} amount @param {string[]} units each a thousand times the one before */
function scaled(amount, units) {
  let unit = 0;
  while (amount >= 999.5 && unit < units.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return `${amount < 100 && unit ? fine.format(amount) : whole.format(Math.round(amount))}${units[unit]}`;
}

const THOUSANDS = ["", "k", "M", "G", "T", "P"];

/** @param {number} amount */
export const count = (amount) => (amount < 1_000_000 ? fine.format(amount) : scaled(amount, THOUSANDS));

/** A whole number where there is little place. @param {number} amount */
export const brief = (amount) => (amount < 100_000 ? whole.format(Math.round(amount)) : scaled(amount, THOUSANDS));

/** @param {number} amount in a second */
export function rate(amount) {
  if (amount > 0 && amount < 0.1) return "<0.1";
  return amount < 10 ? fine.format(amount) : brief(amount);
}

/** @param {number} amount @param {string} one @param {string} [many] */
export const counted = (amount, one, many = `${one}s`) => `${count(amount)} ${amount === 1 ? one : many}`;

const BYTES = ["B", "kB", "MB", "GB", "TB", "PB"].map((unit) => `\u00a0${unit}`);

/** @param {number} amount */
export const bytes = (amount) => scaled(amount, BYTES);

/** A short length of time, such as a delay. @param {number} seconds */
export function delay(seconds) {
  if (seconds === 0) return "0\u00a0ms";
  if (seconds < 0.01) return `${fine.format(seconds * 1000)}\u00a0ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)}\u00a0ms`;
  return `${fine.format(seconds)}\u00a0s`;
}

const UNITS = /** @type {const} */ ([["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]]);

/** A length of time, in its two largest units. @param {number} seconds */
export function span(seconds) {
  let left = Math.max(0, Math.round(seconds));
  const first = UNITS.findIndex(([, length]) => left >= length);
  if (first < 0) return "0\u00a0s";
  const words = [];
  for (const [name, length] of UNITS.slice(first, first + 2)) {
    const amount = Math.floor(left / length);
    left -= amount * length;
    if (amount) words.push(`${amount}\u00a0${name}`);
    if (name === "min" && amount >= 10) break;
  }
  return words.join(" ");
}

/** @param {number} at @param {number} now */
export const ago = (at, now) => (now - at < 1.5 ? "now" : `${span(now - at)} ago`);

/** @param {number} at */
export const time = (at) => times.format(at * 1000);

/** @param {number} at */
export const date = (at) => dates.format(at * 1000);
