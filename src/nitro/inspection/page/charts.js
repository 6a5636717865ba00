// @ts-check
/** Which charts there are: what comes in, what goes out, how fast, what waits and what is lost. */
import { Chart } from "./chart.js";
import { bytes, count, counted, delay, rate } from "./format.js";

/** @typedef {import("./rates.js").Sample} Sample */
/** @param {Sample[]} samples */
const last = (samples) => /** @type {Sample} */ (samples[samples.length - 1]);

/** @param {number} value */
const axisRate = (value) => `${rate(value)}/s`;
/** @param {number | null} value */
const figureOf = (value) => (value === null ? "–" : axisRate(value));

/** @type {import("./chart.js").Drawing[]} */
const DRAWINGS = [
  {
    title: "Clients", least: 10, format: count, series: [{ name: "", of: (sample) => sample.clients }],
    figure: (samples) => ({ figure: count(last(samples).clients), note: last(samples).workers > 1 ? "of all workers" : counted(last(samples).users, "user") }),
  },
  {
    title: "Events in", least: 10, format: axisRate, series: [{ name: "", of: (sample) => sample.published }],
    figure: (samples) => ({ figure: figureOf(last(samples).published), note: "emitted" }),
  },
  {
    title: "Messages out", least: 10, format: axisRate, series: [{ name: "", of: (sample) => sample.delivered }],
    figure: (samples) => ({ figure: figureOf(last(samples).delivered), note: "taken by clients" }),
  },
  {
    title: "Delivery lag", least: 0.001, format: delay,
    series: [{ name: "p99", of: (sample) => sample.p99 }, { name: "p50", of: (sample) => sample.p50 }],
    figure: (samples) => {
      const { p50, p99 } = last(samples);
      return { figure: p99 === null ? "–" : delay(p99), note: p50 === null ? "nothing delivered" : `p99 · p50 ${delay(p50)}` };
    },
  },
  {
    title: "Waiting", least: 10, format: count, series: [{ name: "", of: (sample) => sample.waiting }],
    figure: (samples) => ({ figure: count(last(samples).waiting), note: `messages · ${bytes(last(samples).waitingBytes)}` }),
  },
  {
    title: "Lost", as: "bars", least: 10, format: count, series: [{ name: "", of: (sample) => sample.lost }],
    figure: (samples) => {
      const all = samples.reduce((sum, { lost }) => sum + lost, 0);
      return { figure: count(all), note: `${all === 1 ? "loss" : "losses"} in 5 min` };
    },
  },
];

/** @param {HTMLElement} parent @returns {Chart[]} */
export const makeCharts = (parent) => DRAWINGS.map((drawing) => new Chart(parent, drawing));
