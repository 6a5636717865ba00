// @ts-check
/** The workers, one a row: what each has, does and says of the broker. */
import { make, mark, put, Rows } from "./dom.js";
import { bytes, count, counted, date, delay, rate, span } from "./format.js";

/** @typedef {import("./contract.js").Worker} Worker @typedef {import("./rates.js").Flow} Flow */

const COLUMNS = ["Worker", "State", "Clients", "In", "Out", "Lag", "Loop lag", "Waiting", "Broker", "Log"];

/** @param {Worker} worker @param {Flow | undefined} flow @returns {[string, string]} */
function state({ is_draining, broker }, flow) {
  if (flow?.silent) return ["bad", `Silent for ${span(flow.silent)}`];
  if (broker.refused) return ["bad", "Refused by the broker"];
  if (broker.gone_seconds > 0) return ["bad", `No broker for ${span(broker.gone_seconds)}`];
  return is_draining ? ["warn", "Stopping"] : ["good", "Running"];
}

function build() {
  const root = make("tr", "worker");
  mark(root, "role", "row");
  const cells = COLUMNS.map((label, i) => {
    const cell = make(i ? "td" : "th");
    mark(cell, "role", i ? "cell" : "rowheader");
    if (!i) mark(cell, "scope", "row");
    mark(cell, "data-label", label);
    const [main, sub] = [make("span", i === 1 ? "badge" : "main"), make("span", "sub")];
    cell.append(main, sub);
    root.append(cell);
    return { cell, main, sub };
  });
  return { root, cells };
}

export class Workers {
  /** @param {HTMLElement} body of a table */
  constructor(body) {
    this.now = 0;
    this.here = "";
    /** @type {Map<string, Flow>} */
    this.flows = new Map();
    /** @type {Rows<Worker, ReturnType<typeof build>>} */
    this.rows = new Rows(body, build, (row, worker) => {
      const flow = this.flows.get(worker.id);
      const [level, words] = state(worker, flow);
      const { broker, log } = worker;
      const { p50, p99 } = flow ?? { p50: null, p99: null };
      /** @type {[string, string][]} */
      const texts = [
        [worker.host, `${worker.id}, process ${worker.pid}${worker.id === this.here ? ", answers this page" : ""}`],
        [words, `up for ${span(this.now - worker.since)}`],
        [count(worker.clients), `${counted(worker.users, "user")}, ${count(worker.direct)} direct`],
        [`${rate(flow?.published ?? 0)}/s`, `${count(worker.counters.published)} in all`],
        [`${rate(flow?.delivered ?? 0)}/s`, `${count(worker.counters.delivered)} in all`],
        [p99 === null ? "–" : delay(p99), p99 === null || p50 === null ? "" : `p99; p50 ${delay(p50)}`],
        [delay(worker.loop_lag_seconds), worker.loops === 1 ? "" : counted(worker.loops, "loop")],
        [count(worker.waiting.messages), bytes(worker.waiting.bytes)],
        [broker.name, brokerWords(worker)],
        [log.messages ? counted(log.messages, "message") : "Empty", log.messages ? `${bytes(log.bytes)}, the last ${span(log.seconds)}` : ""],
      ];
      texts.forEach(([main, sub], i) => {
        const cell = row.cells[i];
        if (!cell) return;
        put(cell.main, main);
        put(cell.sub, sub);
      });
      mark(/** @type {HTMLElement} */ (row.cells[1]?.main), "data-level", level);
      mark(/** @type {HTMLElement} */ (row.cells[1]?.cell), "title", `Since ${date(worker.since)}`);
      mark(/** @type {HTMLElement} */ (row.cells[9]?.cell), "title", log.head ? `Its head is ${log.head}` : null);
      row.root.classList.toggle("is-silent", Boolean(flow?.silent));
    });
  }

  /** @param {Worker[]} workers @param {Map<string, Flow>} flows @param {number} now @param {string} here the worker that answers */
  show(workers, flows, now, here) {
    this.now = now;
    this.here = here;
    this.flows = flows;
    this.rows.show(workers.toSorted((a, b) => (a.host < b.host ? -1 : a.host > b.host ? 1 : a.since - b.since)));
  }
}

/** @param {Worker} worker */
function brokerWords({ broker }) {
  if (broker.refused) return broker.refused;
  if (broker.gone_seconds > 0) return `${broker.why_gone || "Can’t be reached"}; ${counted(broker.unacknowledged, "message")} to be sent`;
  const words = [broker.is_shared ? "reached" : "in this process"];
  if (broker.unacknowledged) words.push(`${count(broker.unacknowledged)} not acknowledged`);
  if (broker.lag_messages) words.push(`${count(broker.lag_messages)} not read yet`);
  if (broker.skipped) words.push(`${count(broker.skipped)} skipped`);
  return words.join(", ");
}
