// @ts-check
/** What happened between two reports: rates, delays and losses, from counters that only grow. It knows no document. */

/** @typedef {import("./contract.js").Report} Report @typedef {import("./contract.js").Worker} Worker */
/**
 * @typedef {object} Flow What goes through one worker.
 * @property {number} published a second
 * @property {number} delivered a second
 * @property {number | null} p50 of the delivery's delay, in seconds; null if nothing was measured
 * @property {number | null} p99
 * @property {number} silent for how many seconds the worker has said nothing
 *
 * @typedef {object} Sample All workers at one moment.
 * @property {number} at
 * @property {number} clients
 * @property {number} users of all workers: one who has clients in two counts twice
 * @property {number} workers
 * @property {number | null} published a second; null as long as there is one report
 * @property {number | null} delivered
 * @property {number | null} p50
 * @property {number | null} p99
 * @property {number} waiting
 * @property {number} waitingBytes
 * @property {number} lost gaps, drops, refusals and bad ends since the sample before
 *
 * @typedef {object} Loss
 * @property {LossKind} kind
 * @property {string} reason
 * @property {number} amount
 * @property {string} worker
 * @property {string} host
 * @property {number} at
 *
 * @typedef {"gaps" | "dropped" | "refused" | "disconnects"} LossKind
 * @typedef {Record<LossKind, number>} Totals
 */

/** @type {LossKind[]} */
export const LOSS_KINDS = ["gaps", "dropped", "refused", "disconnects"];
/** Ends of streams by which somebody loses something; the others are as they should be. */
const BAD_ENDS = new Set(["slow", "stuck", "unconfirmed", "broken"]);
const SILENT_SECONDS = 3;
const LAG_SECONDS = 10;

/** @param {LossKind} kind @param {string} reason */
const isLoss = (kind, reason) => kind !== "disconnects" || BAD_ENDS.has(reason);

/** The value that the share `q` of the observations doesn't exceed, read from within its bucket.
 * @param {number[]} bounds @param {number[]} counts @param {number} q */
export function quantile(bounds, counts, q) {
  const all = counts.reduce((sum, one) => sum + one, 0);
  if (!all) return null;
  let below = 0;
  for (let i = 0; i < bounds.length; i++) {
    const here = counts[i] ?? 0;
    const [from, to] = [bounds[i - 1] ?? 0, bounds[i] ?? 0];
    if (here && below + here >= q * all) return from + (to - from) * (q * all - below) / here;
    below += here;
  }
  return bounds[bounds.length - 1] ?? null;
}

/** What is remembered of one worker. */
class Past {
  /** @param {Worker} worker @param {boolean} isNew whether it began since the report before */
  constructor(worker, isNew) {
    this.at = isNew ? worker.since : worker.at;
    this.isCompared = false;
    this.published = isNew ? 0 : worker.counters.published;
    this.delivered = isNew ? 0 : worker.counters.delivered;
    /** @type {Map<string, number>} */
    this.losses = new Map();
    if (!isNew) for (const [key, , , amount] of lossesOf(worker)) this.losses.set(key, amount);
    this.lag = isNew ? [] : worker.lag.counts;
    /** @type {{at: number, counts: number[]}[]} */
    this.lags = [];
    /** @type {Flow} */
    this.flow = { published: 0, delivered: 0, p50: null, p99: null, silent: 0 };
  }
}

/** @param {Worker} worker @returns {Generator<[string, LossKind, string, number]>} */
function* lossesOf({ counters }) {
  for (const kind of LOSS_KINDS) {
    for (const [reason, amount] of Object.entries(counters[kind] ?? {})) {
      if (isLoss(kind, reason)) yield [`${kind} ${reason}`, kind, reason, amount];
    }
  }
}

export class Rates {
  constructor() {
    /** @type {Map<string, Past>} */
    this.past = new Map();
    /** @type {number | null} */
    this.at = null;
  }

  /** Forgets the counters, after reports were missed: a difference over the pause is no rate, and no news. */
  pause() {
    this.past.clear();
    this.at = null;
  }

  /** @param {Report} report @returns {{sample: Sample, flows: Map<string, Flow>, losses: Loss[], totals: Totals}} */
  take(report) {
    /** @type {Loss[]} */
    const losses = [];
    /** @type {Map<string, Flow>} */
    const flows = new Map();
    const totals = { gaps: 0, dropped: 0, refused: 0, disconnects: 0 };
    /** @type {Sample} */
    const sample = {
      at: report.at, clients: 0, users: 0, workers: report.workers.length, published: null, delivered: null, p50: null, p99: null, waiting: 0, waitingBytes: 0, lost: 0,
    };
    for (const worker of report.workers) {
      const past = this.past.get(worker.id) ?? new Past(worker, this.at !== null && worker.since > this.at - SILENT_SECONDS);
      this.past.set(worker.id, past);
      losses.push(...advance(past, worker, report.at));
      for (const [, kind, , amount] of lossesOf(worker)) totals[kind] += amount;
      flows.set(worker.id, past.flow);
      sample.clients += worker.clients;
      sample.users += worker.users;
      if (past.isCompared) {
        sample.published = (sample.published ?? 0) + past.flow.published;
        sample.delivered = (sample.delivered ?? 0) + past.flow.delivered;
      }
      sample.waiting += worker.waiting.messages;
      sample.waitingBytes += worker.waiting.bytes;
    }
    for (const id of this.past.keys()) if (!flows.has(id)) this.past.delete(id);
    sample.lost = losses.reduce((sum, { amount }) => sum + amount, 0);
    Object.assign(sample, this.delays(report.workers));
    this.at = report.at;
    return { sample, flows, losses, totals };
  }

  /** Of all workers together, as far as their buckets are alike. @param {Worker[]} workers */
  delays(workers) {
    const bounds = workers[0]?.lag.bounds ?? [];
    const alike = workers.filter(({ lag }) => lag.bounds.length === bounds.length).map(({ id }) => this.past.get(id)?.lags ?? []);
    const counts = sum(alike.flat().map((lag) => lag.counts));
    return { p50: quantile(bounds, counts, 0.5), p99: quantile(bounds, counts, 0.99) };
  }
}

/** @param {Past} past @param {Worker} worker @param {number} now @returns {Loss[]} */
function advance(past, worker, now) {
  /** @type {Loss[]} */
  const losses = [];
  const silent = Math.max(0, now - worker.at);
  const seconds = worker.at - past.at;
  past.flow.silent = silent >= SILENT_SECONDS ? silent : 0;
  if (seconds <= 0) {
    if (past.flow.silent) Object.assign(past.flow, { published: 0, delivered: 0 });
    return losses;
  }
  const { counters, lag } = worker;
  past.isCompared = true;
  past.flow.published = Math.max(0, counters.published - past.published) / seconds;
  past.flow.delivered = Math.max(0, counters.delivered - past.delivered) / seconds;
  for (const [key, kind, reason, total] of lossesOf(worker)) {
    const amount = total - (past.losses.get(key) ?? 0);
    if (amount > 0) losses.push({ kind, reason, amount, worker: worker.id, host: worker.host, at: worker.at });
    past.losses.set(key, total);
  }
  past.lags.push({ at: worker.at, counts: lag.counts.map((one, i) => Math.max(0, one - (past.lag[i] ?? 0))) });
  past.lags = past.lags.filter(({ at }) => at > worker.at - LAG_SECONDS);
  const counts = sum(past.lags.map((one) => one.counts));
  past.flow.p50 = quantile(lag.bounds, counts, 0.5);
  past.flow.p99 = quantile(lag.bounds, counts, 0.99);
  past.at = worker.at;
  past.published = counters.published;
  past.delivered = counters.delivered;
  past.lag = lag.counts;
  return losses;
}

/** @param {number[][]} lists @returns {number[]} */
function sum(lists) {
  /** @type {number[]} */
  const all = [];
  for (const list of lists) list.forEach((one, i) => { all[i] = (all[i] ?? 0) + one; });
  return all;
}
