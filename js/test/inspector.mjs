// The inspector's page without a document: what it makes of the reports' counters, and what it says of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { roundUp } from "../../src/nitro/inspection/page/chart.js";
import { bytes, count, delay, rate, span } from "../../src/nitro/inspection/page/format.js";
import { facts, issues, namesOf } from "../../src/nitro/inspection/page/health.js";
import { words } from "../../src/nitro/inspection/page/losses.js";
import { quantile, Rates } from "../../src/nitro/inspection/page/rates.js";
import { TopicWindow } from "../../src/nitro/inspection/page/topic_window.js";

const plain = (text) => text.replaceAll("\u00a0", " ");

function worker({ id = "a", since = 0, at = 100, lag = [0, 0, 0], ...rest } = {}) {
  const { published = 0, delivered = 0, gaps = {}, dropped = {}, refused = {}, disconnects = {}, broker = {}, log = {}, ...others } = rest;
  return {
    id, host: `web-${id}`, pid: 1, since, at, is_draining: false, clients: 10, users: 5, direct: 0, loops: 1, loop_lag_seconds: 0,
    counters: { published, published_bytes: 0, delivered, delivered_bytes: 0, connects: 0, resumes: {}, gaps, dropped, refused, disconnects },
    lag: { bounds: [0.01, 0.1], counts: lag },
    broker: { name: "redis://cache", is_shared: true, gone_seconds: 0, why_gone: "", refused: "", lag_messages: 0, unacknowledged: 0, skipped: 0, ...broker },
    log: { head: null, messages: 0, bytes: 0, seconds: 0, ...log },
    waiting: { messages: 0, bytes: 0 },
    ...others,
  };
}

const report = (at, ...workers) => ({
  at, problem: null, workers, clients: { total: 10, matching: 10, from: 0 },
  topics: { seconds: 1, top: [], others: { topics: 0, messages: 0 }, left_out: 0 },
});

test("a rate is what a worker's counter grew by, in that worker's own time", () => {
  const rates = new Rates();
  assert.equal(rates.take(report(100, worker({ published: 500, delivered: 9 }))).sample.published, null);
  const { sample, flows } = rates.take(report(103, worker({ at: 102, published: 520, delivered: 29 })));
  assert.deepEqual([sample.published, sample.delivered, flows.get("a").published], [10, 10, 10]);
});

test("the rates, clients and waiting messages of all workers are added", () => {
  const rates = new Rates();
  rates.take(report(100, worker(), worker({ id: "b" })));
  const waiting = { messages: 3, bytes: 30 };
  const { sample } = rates.take(report(101, worker({ at: 101, published: 4 }), worker({ id: "b", at: 101, published: 6, waiting })));
  assert.deepEqual([sample.published, sample.clients, sample.users, sample.waiting, sample.waitingBytes], [10, 20, 10, 3, 30]);
});

test("what a worker lost before the page was opened is in the totals, and no news", () => {
  const rates = new Rates();
  const first = rates.take(report(100, worker({ gaps: { expired: 2 } })));
  assert.deepEqual([first.losses, first.totals.gaps, first.sample.lost], [[], 2, 0]);
  const { losses, totals, sample } = rates.take(report(101, worker({ at: 101, gaps: { expired: 5, epoch: 1 } })));
  assert.deepEqual(losses.map(({ kind, reason, amount, at }) => [kind, reason, amount, at]), [["gaps", "expired", 3, 101], ["gaps", "epoch", 1, 101]]);
  assert.deepEqual([totals.gaps, sample.lost], [6, 4]);
});

test("a stream that ends as it should is no loss", () => {
  const rates = new Rates();
  rates.take(report(100, worker()));
  const ends = { closed: 5, shutdown: 1, expired: 1, age: 1, dismissed: 1, slow: 2, stuck: 1, broken: 1, unconfirmed: 1 };
  const { losses, totals } = rates.take(report(101, worker({ at: 101, disconnects: ends })));
  assert.deepEqual(losses.map(({ reason }) => reason).sort(), ["broken", "slow", "stuck", "unconfirmed"]);
  assert.equal(totals.disconnects, 5);
});

test("of a worker that begins while the page is open everything is news; of one that only was not heard, nothing", () => {
  const rates = new Rates();
  rates.take(report(100, worker()));
  const [begun, unheard] = [worker({ id: "b", since: 100.5, at: 101, published: 5, dropped: { latest: 1 } }), worker({ id: "c", at: 101, dropped: { latest: 9 } })];
  const { losses, flows } = rates.take(report(101, worker({ at: 101 }), begun, unheard));
  assert.deepEqual(losses.map((loss) => [loss.worker, loss.amount]), [["b", 1]]);
  assert.deepEqual([flows.get("b").published, flows.get("c").published], [10, 0]);
});

test("a silent worker says for how long, and has no rate", () => {
  const rates = new Rates();
  rates.take(report(100, worker()));
  assert.equal(rates.take(report(101, worker({ at: 101, published: 7 }))).flows.get("a").published, 7);
  assert.deepEqual([rates.take(report(103, worker({ at: 101, published: 7 }))).flows.get("a")].map(({ published, silent }) => [published, silent]), [[7, 0]]);
  assert.deepEqual([rates.take(report(105, worker({ at: 101, published: 7 }))).flows.get("a")].map(({ published, silent }) => [published, silent]), [[0, 4]]);
});

test("after a pause nothing is compared with what was before it", () => {
  const rates = new Rates();
  rates.take(report(100, worker()));
  rates.pause();
  const { losses, sample } = rates.take(report(200, worker({ at: 200, published: 1000, gaps: { expired: 7 } })));
  assert.deepEqual([losses, sample.published], [[], null]);
});

test("a quantile is read from within its bucket; above all bounds it is the last of them", () => {
  assert.equal(quantile([1, 2, 3], [0, 0, 0, 0], 0.5), null);
  assert.equal(quantile([1, 2, 3], [10, 10, 0, 0], 0.5), 1);
  assert.equal(quantile([1, 2, 3], [0, 10, 0, 0], 0.5), 1.5);
  assert.equal(quantile([1, 2, 3], [1, 0, 0, 9], 0.99), 3);
});

test("the delay is that of the last ten seconds", () => {
  const rates = new Rates();
  rates.take(report(100, worker({ lag: [100, 0, 0] })));
  assert.equal(rates.take(report(101, worker({ at: 101, lag: [100, 10, 0] }))).sample.p50.toFixed(6), "0.055000");
  assert.equal(rates.take(report(112, worker({ at: 112, lag: [100, 10, 0] }))).sample.p50, null);
});

test("topics are those of the last minute, the busiest first", () => {
  const topics = new TopicWindow();
  const emitted = (...top) => ({ seconds: 1, top, others: { topics: 1, messages: 2 }, left_out: 0 });
  topics.take(0, emitted(["old", 100, 1000]));
  for (let at = 30; at <= 60; at++) topics.take(at, emitted(["todo.created", 1, 10], ["chat.message", 2, 20]));
  assert.deepEqual(topics.busiest(5).map(({ topic, messages, perSecond, bytesPerSecond }) => [topic, messages, perSecond, bytesPerSecond]), [["chat.message", 62, 2, 20], ["todo.created", 31, 1, 10]]);
  assert.deepEqual([topics.others, topics.seconds, topics.busiest(1).length], [62, 31, 1]);
});

test("what is wrong is said, the worst first", () => {
  const rates = new Rates();
  const gone = { gone_seconds: 12, why_gone: "Connection refused", unacknowledged: 1 };
  const newest = report(110, worker({ at: 110, broker: gone }), worker({ id: "b", at: 105 }), worker({ id: "c", at: 110, loop_lag_seconds: 0.6, is_draining: true }));
  newest.problem = "Other workers can't be asked.";
  const { flows } = rates.take(newest);
  const found = issues(newest, flows, [{ kind: "gaps", reason: "expired", amount: 1, worker: "a", host: "web-a", at: 100 }]);
  assert.deepEqual(found.map(({ level, words: said }) => [level, plain(said)]), [
    ["bad", "web-a has not reached the broker for 12 s: Connection refused. 1 message to be sent."],
    ["bad", "web-b has been silent for 5 s."],
    ["warn", "Other workers can't be asked."],
    ["warn", "web-c: something blocks the event loop, for up to 600 ms."],
    ["warn", "web-c is stopping: clients go to other workers."],
    ["warn", "1 loss in the last minute; see what was lost."],
  ]);
});

test("workers of one host are told apart by their processes", () => {
  const [first, second, third] = [worker({ host: "web", pid: 7 }), worker({ id: "b", host: "web", pid: 8 }), worker({ id: "c", host: "db" })];
  assert.deepEqual([...namesOf([first, second, third])], [["a", "web (7)"], ["b", "web (8)"], ["c", "db"]]);
});

test("nothing is wrong where nothing is wrong, and a loss of long ago is none", () => {
  const newest = report(200, worker({ at: 200, log: { messages: 1000, bytes: 123_456, seconds: 3600 } }));
  const { flows } = new Rates().take(newest);
  assert.deepEqual(issues(newest, flows, [{ kind: "gaps", reason: "expired", amount: 1, worker: "a", host: "web-a", at: 100 }]), []);
  assert.deepEqual(facts(newest).map(([name, value]) => `${name}: ${plain(value)}`), [
    "Workers: 1", "Broker: redis://cache", "Log: 1,000 messages, 123 kB, the last 1 h", "Not acknowledged: 0 messages",
  ]);
});

test("each loss that a worker counts has words of its own, for one and for several", () => {
  const counted = {
    gaps: ["expired", "epoch", "overflow", "invalid"], dropped: ["drop_oldest", "latest"],
    refused: ["clients", "user", "address", "topics", "rate"], disconnects: ["slow", "stuck", "unconfirmed", "broken"],
  };
  const said = Object.entries(counted).flatMap(([kind, reasons]) => reasons.map((reason) => words({ kind, reason, amount: 2 })));
  assert.equal(new Set(said).size, said.length);
  for (const one of said) assert.match(one, /^2 (clients|messages) .*\.$/);
  assert.equal(words({ kind: "refused", reason: "rate", amount: 1 }), "1 client was refused: too many came in a short time.");
  assert.equal(words({ kind: "gaps", reason: "new", amount: 3 }), "3 clients were told: gap, new.");
});

test("figures have few digits, and a unit that says how large they are", () => {
  assert.deepEqual([0, 999, 100_000, 1_000_000, 45_120_000_000].map(count), ["0", "999", "100,000", "1M", "45.1G"]);
  assert.deepEqual([0, 0.004, 2.25, 12.4, 61_000_000].map(rate), ["0", "<0.1", "2.3", "12", "61M"]);
  assert.deepEqual([0, 999, 1234, 123_456, 1e12].map(bytes).map(plain), ["0 B", "999 B", "1.2 kB", "123 kB", "1 TB"]);
  assert.deepEqual([0, 0.0004, 0.0123, 0.9996, 3.25].map(delay).map(plain), ["0 ms", "0.4 ms", "12 ms", "1 s", "3.3 s"]);
  assert.deepEqual([0, 61, 3600, 4000, 90_000].map(span).map(plain), ["0 s", "1 min 1 s", "1 h", "1 h 6 min", "1 d 1 h"]);
  assert.deepEqual([10, 11, 0.03, 700].map(roundUp), [10, 20, 0.05, 1000]);
});
