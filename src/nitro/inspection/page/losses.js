// @ts-check
/** What was lost, as it happens: gaps, drops, refusals and streams that ended badly, in words. */
import { make, mark, put, Rows } from "./dom.js";
import { ago, brief, counted, date, time } from "./format.js";
import { LOSS_KINDS } from "./rates.js";

/** @typedef {import("./rates.js").Loss} Loss @typedef {import("./rates.js").LossKind} LossKind */
/** @typedef {Loss & {began: number, name: string}} Entry Several losses of one kind, from when to when, and the worker's name. */

const MOST = 100;
const SAME_SECONDS = 10;
/** Then a time is easier to read than what it is ago, which would change each second. */
const AGO_SECONDS = 60;

/** @type {Record<LossKind, {name: string, total: string}>} */
const KINDS = {
  gaps: { name: "Gap", total: "Gaps" },
  dropped: { name: "Dropped", total: "Dropped" },
  refused: { name: "Refused", total: "Refused" },
  disconnects: { name: "Cut off", total: "Cut off" },
};

/** Each after "3 clients" or "3 messages". @type {Record<string, string>} */
const WORDS = {
  "gaps expired": "came back too late: the log no longer has what they missed. They were told to fetch their data again.",
  "gaps epoch": "came back to a new log, as after a restart. They were told to fetch their data again.",
  "gaps overflow": "read too slowly, and their queue was shortened. They were told to fetch their data again.",
  "gaps invalid": "came back with an id that is not of this log. They were told to fetch their data again.",
  "dropped drop_oldest": "dropped for clients that read too slowly: the oldest of their queues.",
  "dropped latest": "dropped for clients that read too slowly: they keep only the latest.",
  "refused clients": "refused: the worker has as many clients as it may have.",
  "refused user": "refused: their user has as many clients as one user may have.",
  "refused address": "refused: their address has as many clients as one may have.",
  "refused topics": "refused: more topics were asked for than are allowed.",
  "refused rate": "refused: too many came in a short time.",
  "disconnects slow": "read too slowly, and their queue was full. They reconnect, and resume.",
  "disconnects stuck": "took nothing for too long: their network is gone, or they have stopped reading.",
  "disconnects unconfirmed": "had all that a stream over HTTP/2 may send unconfirmed. They reconnect, and resume.",
  "disconnects broken": "could not be written to: an error, which is in the worker’s log.",
};

/** @param {Loss} loss */
export function words({ kind, reason, amount }) {
  const subject = kind === "dropped" ? counted(amount, "message") : counted(amount, "client");
  const verb = kind === "dropped" || kind === "refused" ? (amount === 1 ? " was" : " were") : "";
  const rest = WORDS[`${kind} ${reason}`] ?? `${kind === "dropped" || kind === "refused" ? "" : "were told: "}${KINDS[kind].name.toLowerCase()}, ${reason}.`;
  return `${subject}${verb} ${rest}`;
}

function build() {
  const root = make("li", "loss");
  const [tag, text, where, when] = [make("span", "tag"), make("p"), make("span", "where"), make("time", "when")];
  const foot = make("p", "foot");
  foot.append(when, where);
  root.append(tag, text, foot);
  return { root, tag, text, where, when, shown: /** @type {Entry | null} */ (null), old: /** @type {Entry | null} */ (null) };
}

export class Losses {
  /** @param {HTMLElement} list @param {HTMLElement} totals @param {HTMLElement} empty */
  constructor(list, totals, empty) {
    /** @type {Entry[]} newest first */
    this.all = [];
    this.empty = empty;
    this.list = list;
    this.now = 0;
    /** @type {Rows<Entry, ReturnType<typeof build>>} */
    this.rows = new Rows(list, build, (row, loss) => {
      const isOld = this.now - loss.at >= AGO_SECONDS;
      if (!isOld) put(row.when, ago(loss.at, this.now));
      else if (row.old !== loss) {
        row.old = loss;
        put(row.when, `at ${time(loss.at)}`);
      }
      if (row.shown === loss) return;
      row.shown = loss;
      row.old = isOld ? loss : null;
      mark(row.root, "data-kind", loss.kind);
      put(row.tag, KINDS[loss.kind].name);
      put(row.text, words(loss));
      put(row.where, loss.name);
      mark(row.where, "title", `Worker ${loss.worker} on ${loss.host}`);
      mark(row.when, "title", date(loss.at));
    });
    this.figures = LOSS_KINDS.map((kind) => {
      const [item, figure] = [make("li"), make("b", "", "0")];
      item.append(figure, make("span", "", KINDS[kind].total));
      totals.append(item);
      return { kind, item, figure };
    });
  }

  /** What is like the one before, and soon after it, is told as one.
   * @param {Loss[]} losses @param {Map<string, string>} names of the workers */
  take(losses, names) {
    for (const loss of losses) {
      const name = names.get(loss.worker) ?? loss.host;
      const i = this.all.findIndex((one) => one.kind === loss.kind && one.reason === loss.reason && one.worker === loss.worker);
      const same = this.all[i];
      const isSoon = same && loss.at - same.began < SAME_SECONDS;
      if (isSoon) this.all.splice(i, 1);
      this.all.unshift(isSoon ? { ...loss, amount: loss.amount + same.amount, began: same.began, name } : { ...loss, began: loss.at, name });
    }
    this.all.sort((a, b) => b.at - a.at);  // workers may be late
    this.all.length = Math.min(this.all.length, MOST);
  }

  /** @param {number} now @param {import("./rates.js").Totals} totals */
  show(now, totals) {
    this.now = now;
    this.empty.hidden = this.all.length > 0;
    this.list.hidden = !this.all.length;
    this.rows.show(this.all);
    for (const { kind, item, figure } of this.figures) {
      put(figure, brief(totals[kind]));
      item.classList.toggle("is-none", !totals[kind]);
    }
  }
}
