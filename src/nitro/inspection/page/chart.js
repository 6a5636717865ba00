// @ts-check
/** A small chart of up to the last five minutes: lines or bars, a readable axis, and a reading by pointer or arrow keys. */
import { make, mark, put } from "./dom.js";
import { time } from "./format.js";

/** @typedef {import("./rates.js").Sample} Sample */
/**
 * @typedef {object} Series
 * @property {string} name in words, for a reading; "" if the chart has one series
 * @property {(sample: Sample) => number | null} of
 *
 * @typedef {object} Drawing
 * @property {string} title
 * @property {"lines" | "bars"} [as]
 * @property {Series[]} series the first is the main one
 * @property {(value: number) => string} format of an axis and a reading
 * @property {(samples: Sample[]) => {figure: string, note: string}} figure what is written large, and beside it
 * @property {number} least the axis reaches at least so far
 */

/** What is shown: the shortest of these that holds what there is. */
const WINDOWS = [60, 120, 300];
export const WINDOW_SECONDS = 300;
const [WIDTH, HEIGHT] = [3000, 1000];  // of the drawing, whole numbers in it; it is stretched to its place
const BREAK_SECONDS = 5;
const SVG = "http://www.w3.org/2000/svg";

/** The next of 1, 2, 5, 10, 20 … @param {number} value */
export function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 5].find((step) => step * power >= value * 0.999_999) ?? 10);
}

/** @param {string} name @param {string} className */
function svg(name, className) {
  const element = document.createElementNS(SVG, name);
  element.setAttribute("class", className);
  return element;
}

export class Chart {
  /** @param {HTMLElement} parent @param {Drawing} drawing */
  constructor(parent, drawing) {
    this.drawing = drawing;
    /** @type {Sample[]} */
    this.samples = [];
    this.most = drawing.least;
    this.seconds = 60;
    /** @type {number | null} */
    this.read = null;

    this.root = make("figure", "card chart");
    const caption = make("figcaption");
    this.figure = make("p", "figure", "–");
    this.note = make("p", "note");
    caption.append(make("h3", "", drawing.title), this.figure, this.note);
    this.plot = make("div", "plot");
    this.plot.tabIndex = 0;
    for (const [name, value] of Object.entries({
      "role": "slider", "aria-label": `${drawing.title}, a reading of the last minutes`, "aria-valuemin": `${-WINDOW_SECONDS}`, "aria-valuemax": "0",
      "aria-valuenow": "0", "aria-valuetext": "No data yet",
    })) mark(this.plot, name, value);
    const picture = svg("svg", "picture");
    mark(picture, "viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    mark(picture, "preserveAspectRatio", "none");
    mark(picture, "aria-hidden", "true");
    const middle = svg("path", "grid");
    mark(middle, "d", `M0 5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}`);
    const floor = svg("path", "floor");
    mark(floor, "d", `M0 ${HEIGHT}H${WIDTH}`);
    this.area = svg("path", "area");
    this.lines = drawing.series.map((_, i) => svg("path", `${drawing.as ?? "lines"} series-${i}`));
    this.cursor = svg("path", "cursor");
    picture.append(middle, this.area, floor, ...this.lines.toReversed(), this.cursor);
    this.top = make("span", "axis top");
    this.half = make("span", "axis half");
    this.plot.append(picture, this.top, this.half);
    this.ends = make("p", "ends");
    this.reading = make("span", "reading");
    this.start = make("span");
    this.ends.append(this.start, this.reading, make("span", "", "now"));
    this.root.append(caption, this.plot, this.ends);
    parent.append(this.root);

    this.plot.addEventListener("pointermove", (event) => this.readAt(event));
    this.plot.addEventListener("pointerdown", (event) => this.readAt(event));
    this.plot.addEventListener("pointerleave", () => this.readNone());
    this.plot.addEventListener("focus", () => this.point());  // says what is now
    this.plot.addEventListener("blur", () => this.readNone());
    this.plot.addEventListener("keydown", (event) => this.readByKey(event));
  }

  /** @param {Sample[]} samples oldest first */
  show(samples) {
    this.samples = samples;
    const { series, least, format, figure, as } = this.drawing;
    const last = samples[samples.length - 1];
    if (!last) return;
    const known = last.at - (samples[0]?.at ?? last.at);
    this.seconds = WINDOWS.find((seconds) => known <= seconds) ?? WINDOW_SECONDS;
    put(this.start, `${this.seconds / 60} min ago`);
    let highest = least;
    for (const { of } of series) for (const sample of samples) highest = Math.max(highest, of(sample) ?? 0);
    this.most = roundUp(highest);
    const said = figure(samples);
    put(this.figure, said.figure);
    put(this.note, said.note);
    put(this.top, format(this.most));
    put(this.half, format(this.most / 2));
    series.forEach(({ of }, i) => {
      const line = this.lines[i];
      if (!line) return;
      const drawn = as === "bars" ? this.bars(of, last.at) : this.line(of, last.at);
      line.setAttribute("d", drawn.path);
      if (i === 0 && as !== "bars") this.area.setAttribute("d", drawn.area);
    });
    if (this.read !== null) this.point();
  }

  /** @param {number} at @param {number} now */
  x(at, now) {
    return Math.round(WIDTH - (now - at) * WIDTH / this.seconds);
  }

  /** @param {number} value */
  y(value) {
    return Math.round(HEIGHT - HEIGHT * Math.min(1, value / this.most));
  }

  /** @param {Series["of"]} of @param {number} now */
  line(of, now) {
    let [path, area, piece] = ["", "", ""];
    let before = -Infinity;
    let [from, to] = [0, 0];
    const end = () => {
      path += piece;
      if (piece) area += `${piece}L${to} ${HEIGHT}L${from} ${HEIGHT}Z`;
      piece = "";
    };
    for (const sample of this.samples) {
      const value = of(sample);
      if (value === null) continue;
      const isBroken = sample.at - before > BREAK_SECONDS;
      if (isBroken) end();
      to = this.x(sample.at, now);
      if (isBroken) from = to;
      piece += `${isBroken ? "M" : "L"}${to} ${this.y(value)}`;
      before = sample.at;
    }
    end();
    return { path, area };
  }

  /** Of five seconds each, as seconds are too thin to be seen. @param {Series["of"]} of @param {number} now */
  bars(of, now) {
    let path = "";
    const width = Math.round(5 * WIDTH / this.seconds * 0.75);
    for (const { at, value } of fives(this.samples, of)) {
      const x = this.x(at, now);
      if (value > 0) path += `M${x} ${HEIGHT}V${Math.min(this.y(value), HEIGHT - 40)}h${width}V${HEIGHT}Z`;
    }
    return { path, area: "" };
  }

  /** @param {PointerEvent} event */
  readAt(event) {
    const box = this.plot.getBoundingClientRect();
    const last = this.samples[this.samples.length - 1];
    if (!last || !box.width) return;
    this.read = last.at - this.seconds * (1 - (event.clientX - box.left) / box.width);
    this.point();
  }

  readNone() {
    this.read = null;
    this.point();
  }

  /** @param {KeyboardEvent} event */
  readByKey(event) {
    const last = this.samples[this.samples.length - 1];
    if (!last) return;
    const step = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageUp: 60, PageDown: -60 }[event.key];
    const to = event.key === "Home" ? this.samples[0]?.at ?? 0 : event.key === "End" ? last.at : step && (this.read ?? last.at) + step;
    if (event.key === "Escape") this.readNone();
    if (to === undefined) return;
    event.preventDefault();
    this.read = Math.max(this.samples[0]?.at ?? 0, Math.min(last.at, to));
    this.point();
  }

  /** Shows what is read, and says it. */
  point() {
    const last = this.samples[this.samples.length - 1];
    if (!last) return;
    const { read } = this;
    const nearest = read === null ? last : this.samples.reduce((best, one) => (Math.abs(one.at - read) < Math.abs(best.at - read) ? one : best));
    const x = this.x(nearest.at, last.at);
    mark(this.cursor, "d", read === null ? "" : `M${x} 0V${HEIGHT}`);
    this.ends.classList.toggle("is-read", read !== null);
    const { series, format, as } = this.drawing;
    const values = series.map(({ name, of }) => {
      const value = as === "bars" ? fives(this.samples, of).find(({ at }) => at === fiveOf(nearest.at))?.value ?? 0 : of(nearest);
      return `${name ? `${name} ` : ""}${value === null ? "–" : format(value)}`;
    });
    const words = `${time(nearest.at)} · ${values.join(", ")}`;
    put(this.reading, read === null ? "" : words);
    mark(this.plot, "aria-valuenow", `${Math.round(nearest.at - last.at)}`);
    mark(this.plot, "aria-valuetext", words);
  }
}

/** When the five seconds began. @param {number} at */
const fiveOf = (at) => Math.floor(at / 5) * 5;

/** Sums over five seconds each. @param {Sample[]} samples @param {Series["of"]} of */
function fives(samples, of) {
  /** @type {{at: number, value: number}[]} */
  const sums = [];
  for (const sample of samples) {
    const at = fiveOf(sample.at);
    const sum = sums[sums.length - 1];
    if (sum?.at === at) sum.value += of(sample) ?? 0;
    else sums.push({ at, value: of(sample) ?? 0 });
  }
  return sums;
}
