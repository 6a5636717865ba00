// @ts-check
/** The inspector's page: what a report brings goes to the part that is seen; everything else only remembers it. */
import { ClientDialog, EmitForm } from "./actions.js";
import { WINDOW_SECONDS } from "./chart.js";
import { makeCharts } from "./charts.js";
import { ClientList } from "./clients.js";
import { ClientRow } from "./client_row.js";
import { ask } from "./contract.js";
import { $, make, mark, put, Rows } from "./dom.js";
import { facts, issues, namesOf } from "./health.js";
import { Losses } from "./losses.js";
import { Rates } from "./rates.js";
import { Stream } from "./stream.js";
import { Tabs } from "./tabs.js";
import { Tail } from "./tail.js";
import { TopicWindow } from "./topic_window.js";
import { Topics } from "./topics.js";
import { Workers } from "./workers.js";

/** @typedef {import("./contract.js").Report} Report @typedef {import("./contract.js").Row} Row */

const LEAST_SECONDS = 0.5;
const rates = new Rates();
const lastMinute = new TopicWindow();
/** @type {import("./rates.js").Sample[]} */
const samples = [];
/** @type {import("./contract.js").Hello | null} */
let hello = null;
/** @type {Report | null} */
let report = null;
/** @type {ReturnType<Rates["take"]> | null} */
let taken = null;
/** @type {Map<string, string>} */
let names = new Map();
let views = 0;

const charts = makeCharts($("#charts"));
const losses = new Losses($("#losses"), $("#loss-totals"), $("#no-losses"));
const workers = new Workers($("#worker-rows"));
const tail = new Tail($("#tail"));
/** @param {string} topic */
const follow = (topic) => {
  tabs.go("tail");
  tail.restart(topic);
};
const allTopics = new Topics($("#topic-rows"), 200, $("#topic-note"), follow);
const topTopics = new Topics($("#top-topic-rows"), 6, $("#top-topic-note"), follow);
const dialog = new ClientDialog(/** @type {HTMLDialogElement} */ ($("#client")), /** @type {HTMLDialogElement} */ ($("#question")));
/** @param {Row} row */
const open = (row) => dialog.open(row, report?.at ?? row.since, names);
const clients = new ClientList($("#clients"), { ask: look, open });
/** @type {Rows<Row, ClientRow>} */
const slowest = new Rows($("#slowest"), () => new ClientRow(open), (node, row) => node.show(row, report?.at ?? row.since, names));
/** @type {Rows<import("./health.js").Issue, {root: HTMLLIElement}>} */
const issueRows = new Rows($("#issues"), () => ({ root: make("li") }), ({ root }, { level, words }) => {
  put(root, words);
  mark(root, "data-level", level);
});
/** @type {Rows<[string, string], {root: HTMLDivElement, name: HTMLElement, value: HTMLElement}>} */
const factRows = new Rows($("#facts"), () => {
  const [root, name, value] = [make("div"), make("dt"), make("dd")];
  root.append(name, value);
  return { root, name, value };
}, ({ name, value }, [what, words]) => {
  put(name, what);
  put(value, words);
  mark(value, "title", words);
});
new EmitForm(/** @type {HTMLFormElement} */ ($("#emit")));

/** @type {Record<string, () => void>} */
const PAINT = { overview: paintOverview, clients: paintClients, topics: paintTopics, workers: paintWorkers };
const tabs = new Tabs($("[role=tablist]"), (name) => {
  PAINT[name]?.();
  if (name === "clients") clients.measure();
});

/** Shows the part that is seen, as the newest report has it. */
function paint() {
  if (!report || document.hidden) return;
  paintHealth();
  PAINT[tabs.name]?.();
  if (dialog.dialog.open) dialog.refresh([...(report.clients.rows ?? []), ...(report.clients.slowest ?? [])], report.at, names);
}

function paintHealth() {
  if (!report || !taken) return;
  const found = issues(report, taken.flows, losses.all);
  const worst = found[0]?.level ?? "good";
  const verdict = { good: "All is well", warn: "Worth a look", bad: "Something is wrong" }[worst];
  mark($("#health"), "data-level", worst);
  mark($("#tab-overview"), "data-level", worst);
  mark($("#tab-overview"), "title", verdict);
  put($("#verdict"), verdict);
  issueRows.show(found);
  factRows.show(facts(report));
  document.title = `${worst === "good" ? "" : worst === "bad" ? "! " : "? "}Nitro inspector`;
}

function paintOverview() {
  if (!report || !taken) return;
  for (const chart of charts) chart.show(samples);
  losses.show(report.at, taken.totals);
  topTopics.show(lastMinute, report.topics);
  const slow = (report.clients.slowest ?? []).filter(({ waiting }) => waiting[0] > 0);
  slowest.show(slow.slice(0, 8));
  $("#slowest-table").hidden = !slow.length;
  $("#no-slowest").hidden = slow.length > 0;
}

function paintClients() {
  if (report) clients.take(report, names);
}

function paintTopics() {
  if (report) allTopics.show(lastMinute, report.topics);
}

function paintWorkers() {
  if (report && taken) workers.show(report.workers, taken.flows, report.at, hello?.worker ?? "");
}

/** Tells the server which window of the clients is seen. @param {import("./clients.js").View} view */
async function look(view) {
  if (!hello) return;
  const { status, words } = await ask("view", JSON.stringify({ viewer: hello.viewer, number: ++views, ...view }));
  const isFine = status === 204 || status === 409 || status === 0;  // after 409, the next hello asks again
  put($("#clients .error"), isFine ? "" : words);
}

/** Remembers a sample of about each second. Reports may come more often, and the clock may go back: another worker answers now.
 * @param {import("./rates.js").Sample} sample */
function keep(sample) {
  let { lost } = sample;
  for (let last = samples.at(-1); last && last.at > sample.at - LEAST_SECONDS; last = samples.at(-1)) {
    lost += last.lost;
    samples.pop();
  }
  samples.push({ ...sample, lost });
  while (samples[0] && samples[0].at < sample.at - WINDOW_SECONDS) samples.shift();
}

new Stream({
  hello: (its) => {
    hello = its;
    rates.pause();
    put($("#version"), its.version);
    dialog.allow(its.actions);
    $("#emit-card").hidden = !its.actions;
    $("#no-payloads").hidden = its.payloads;
    void look(clients.view);
  },
  report: (newest) => {
    report = newest;
    names = namesOf(newest.workers);
    taken = rates.take(newest);
    losses.take(taken.losses, names);
    lastMinute.take(newest.at, newest.topics);
    keep(taken.sample);
    mark(document.body, "data-has", "report");
    paint();
  },
  state: (state, words) => {
    mark(document.body, "data-state", state);
    put($("#state"), { connecting: "Connecting", live: "Live", waiting: "Reconnecting", ended: "Ended" }[state]);
    put($("#banner-words"), words);
    $("#banner").hidden = !words;
    $("#reload").hidden = state !== "ended";
  },
});

$("#reload").addEventListener("click", () => location.reload());
document.addEventListener("visibilitychange", paint);
tabs.open(location.hash.slice(1));
