// @ts-check
/** Whether all is well, as sentences: what is wrong, the worst first, or what there is. It knows no document. */
import { bytes, count, counted, delay, span } from "./format.js";

/** @typedef {import("./contract.js").Report} Report @typedef {import("./contract.js").Worker} Worker */
/** @typedef {import("./rates.js").Flow} Flow @typedef {import("./rates.js").Loss} Loss */
/** @typedef {{level: "bad" | "warn", words: string}} Issue */

const LOOP_LAG_SECONDS = 0.25;
const LAG_SECONDS = 0.5;
const BROKER_LAG_MESSAGES = 1000;
const RECENT_SECONDS = 60;

/** What each worker is called, by its id: its host, with its process where several are on one host.
 * @param {Worker[]} workers @returns {Map<string, string>} */
export function namesOf(workers) {
  const isShared = (/** @type {string} */ host) => workers.filter((one) => one.host === host).length > 1;
  return new Map(workers.map(({ id, host, pid }) => [id, isShared(host) ? `${host} (${pid})` : host]));
}

/** @param {string[]} names */
function listed(names) {
  const shown = names.length > 3 ? [...names.slice(0, 2), counted(names.length - 2, "other")] : names;
  return shown.length > 1 ? `${shown.slice(0, -1).join(", ")} and ${shown[shown.length - 1]}` : shown.join("");
}

/** @param {Report} report @param {Map<string, Flow>} flows @param {Loss[]} losses newest first @returns {Issue[]} the worst first */
export function issues({ at, workers, problem }, flows, losses) {
  /** @type {Issue[]} */
  const found = [];
  const names = namesOf(workers);
  /** @param {Issue["level"]} level @param {(worker: Worker) => boolean} test @param {(who: string, of: Worker[]) => string} words */
  const check = (level, test, words) => {
    const those = workers.filter(test);
    const isAll = those.length > 1 && those.length === workers.length;
    if (those.length) found.push({ level, words: words(isAll ? "All workers" : listed(those.map(({ id }) => names.get(id) ?? id)), those) });
  };
  if (!workers.length) found.push({ level: "bad", words: "No worker has reported." });
  check("bad", ({ broker }) => Boolean(broker.refused), (who, those) => `${who}: the broker refuses. ${those[0]?.broker.refused}`);
  check("bad", ({ broker }) => broker.gone_seconds > 0 && !broker.refused, (who, those) => {
    const gone = Math.max(...those.map(({ broker }) => broker.gone_seconds));
    const why = those.find(({ broker }) => broker.why_gone)?.broker.why_gone.replace(/\.$/, "");
    const queued = those.reduce((sum, { broker }) => sum + broker.unacknowledged, 0);
    const have = those.length > 1 ? "have" : "has";
    return `${who} ${have} not reached the broker for ${span(gone)}${why ? `: ${why}` : ""}. ${counted(queued, "message")} to be sent.`;
  });
  check("bad", ({ id }) => (flows.get(id)?.silent ?? 0) > 0, (who, those) => {
    return `${who} ${those.length > 1 ? "have" : "has"} been silent for ${span(Math.max(...those.map((one) => at - one.at)))}.`;
  });
  if (problem) found.push({ level: "warn", words: problem });
  check("warn", ({ loop_lag_seconds: lag }) => lag > LOOP_LAG_SECONDS, (who, those) => {
    return `${who}: something blocks the event loop, for up to ${delay(Math.max(...those.map((one) => one.loop_lag_seconds)))}.`;
  });
  check("warn", ({ id }) => (flows.get(id)?.p99 ?? 0) > LAG_SECONDS, (who, those) => {
    return `${who}: one in a hundred deliveries takes ${delay(Math.max(...those.map(({ id }) => flows.get(id)?.p99 ?? 0)))} or more.`;
  });
  check("warn", ({ broker }) => broker.lag_messages > BROKER_LAG_MESSAGES, (who, those) => {
    return `${who}: ${counted(Math.max(...those.map(({ broker }) => broker.lag_messages)), "message")} of the broker’s log are not read yet.`;
  });
  check("warn", ({ is_draining: is }) => is, (who, those) => `${who} ${those.length > 1 ? "are" : "is"} stopping: clients go to other workers.`);
  const lost = losses.filter((loss) => loss.at > at - RECENT_SECONDS).reduce((sum, { amount }) => sum + amount, 0);
  if (lost) found.push({ level: "warn", words: `${counted(lost, "loss", "losses")} in the last minute; see what was lost.` });
  return found.sort((a, b) => Number(a.level === "warn") - Number(b.level === "warn"));
}

/** What there is, as facts. @param {Report} report @returns {[string, string][]} */
export function facts({ workers }) {
  const names = [...new Set(workers.map(({ broker }) => broker.name))];
  const log = workers.reduce((/** @type {Worker | undefined} */ best, one) => (best && best.log.messages >= one.log.messages ? best : one), undefined)?.log;
  const queued = workers.reduce((sum, { broker }) => sum + broker.unacknowledged, 0);
  const skipped = workers.reduce((sum, { broker }) => sum + broker.skipped, 0);
  /** @type {[string, string][]} */
  const all = [
    ["Workers", count(workers.length)],
    ["Broker", names.length ? listed(names) : "–"],
    ["Log", log?.messages ? `${counted(log.messages, "message")}, ${bytes(log.bytes)}, the last ${span(log.seconds)}` : "empty"],
    ["Not acknowledged", counted(queued, "message")],
  ];
  if (skipped) all.push(["Skipped", counted(skipped, "entry", "entries")]);
  return all;
}
