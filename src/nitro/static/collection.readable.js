// src/collection.ts
import { connect } from "./client.js";

// src/position.ts
var epoch = (id) => id.slice(0, id.indexOf("-") + 1);
var NO_ROWS = "snapshot-0";
var WRONG_ROWS = "snapshot-1";
var isIncomplete = (id) => id.startsWith("snapshot-");
var isOneLog = (a, b) => epoch(a) === epoch(b) || isIncomplete(a) || isIncomplete(b);
var isKnown = (id, last) => epoch(id) === epoch(last) && !isIncomplete(id) && (id.length < last.length || id.length === last.length && id <= last);

// src/rows.ts
var epoch2 = (position) => position.slice(0, position.indexOf("-"));
var bare = (position) => position.replace(/\..*/, "");
var text = (row) => JSON.stringify(row, (_, value) => typeof value === "bigint" ? `${value}n` : value);
var Rows = class {
  state = "loading";
  error = null;
  position = "";
  onchange = null;
  ready;
  #connect;
  #report;
  #key;
  #sort;
  #live;
  #isLive = false;
  #isWrong = false;
  // what it has, until rows that are read anew have come
  #failure = null;
  // what it has found wrong itself
  #all = /* @__PURE__ */ new Map();
  #next = null;
  // what has come so far of rows that are read anew; the others are shown until it is whole
  #rows = Object.freeze([]);
  #isSorted = true;
  // whether `#rows` has what `#all` has
  #listeners = /* @__PURE__ */ new Set();
  #waiters = /* @__PURE__ */ new Set();
  #lost = /* @__PURE__ */ new Set();
  // epochs of logs in which it has stood
  #begin;
  constructor(connect2, { key, sort }, report) {
    this.#connect = connect2;
    this.#report = report;
    this.#key = key;
    this.#sort = typeof sort === "function" ? sort : sort && sorter([sort].flat());
    this.ready = new Promise((resolve, reject) => this.#begin = { resolve, reject });
    this.ready.catch(() => {
    });
    this.#open(NO_ROWS);
  }
  get rows() {
    if (!this.#isSorted) {
      const rows = [...this.#all.values()];
      if (this.#sort) rows.sort(this.#sort);
      const { length } = this.#rows;
      if (rows.length !== length || rows.some((row, place) => row !== this.#rows[place])) this.#rows = Object.freeze(rows);
      this.#isSorted = true;
    }
    return this.#rows;
  }
  get size() {
    return this.#all.size;
  }
  get = (key) => {
    const name = this.#key;
    const row = this.#all.get(`${key}`);
    const isIt = (row2) => `${row2[name]}` === `${key}`;
    return !name || row && isIt(row) ? row : this.rows.find(isIt);
  };
  subscribe = (listener) => {
    const own = { listener };
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  };
  reached = (position) => new Promise((resolve, reject) => {
    if (!position) return resolve();
    if (!/^\w+-\d+(\.\w+)?$/.test(position)) throw new TypeError(`${JSON.stringify(position)} is no position`);
    if (this.state === "closed") throw new Error("The collection is closed.");
    this.#waiters.add({ position, isAsked: false, resolve, reject });
    return this.#settle(false);
  });
  close = () => this.#live.close();
  /** From there. What it had before is shown until all rows have come. */
  #open(since) {
    const old = this.#live;
    const live = this.#live = this.#connect(since);
    const own = (act) => (...heard) => live === this.#live && act(...heard);
    this.#next = null;
    this.#isWrong = true;
    live.onstate = own(() => this.#follow(live.state === "open" && !this.#isWrong));
    live.on("*", own((told, { topic, id }) => topic && (Array.isArray(told) ? this.#hear(told, id) : this.#isWrong && this.#refuse())));
    live.on("nitro.position", own((id) => this.position && this.#stand(id, false)));
    live.on("gap", own(({ reason }) => this.#isWrong && reason !== "rights" ? this.#refuse() : this.#open(WRONG_ROWS)));
    old?.close();
    if (old) this.#follow(false);
  }
  /** A live query gives all rows first. Another stream does not know where that is, and HTML is no rows. */
  #refuse() {
    this.#failure = { message: "No rows as JSON: use EventSourceResponse(X.live(\u2026))." };
    this.close();
  }
  #hear(told, id) {
    const changes = [];
    let rows = null;
    for (const { key, value, headers } of told) {
      const { operation, control } = headers;
      if (control === "snapshot-start") this.#next = /* @__PURE__ */ new Map();
      else if (control === "snapshot-end") {
        rows = this.#rows;
        this.#swap(changes);
      } else if (operation && this.#next) value ? this.#next.set(key, value) : this.#next.delete(key);
      else if (operation && this.position) this.#put(key, value, changes);
    }
    const isFirst = rows && !this.position;
    if (changes.length || rows) this.#isSorted = false;
    if (rows) [this.#isLive, this.#isWrong] = [true, false];
    this.#stand(id, !!rows);
    if (isFirst) this.#begin.resolve();
    this.#follow(this.#isLive, isFirst || changes.length || rows && rows !== this.rows ? changes : void 0);
  }
  #put(key, value, changes) {
    const previous = this.#all.get(key);
    if (value ? previous && text(value) === text(previous) : !previous) return;
    if (value) this.#all.set(key, value);
    else this.#all.delete(key);
    this.#note(key, value, previous, changes);
  }
  #note(key, value, previous, changes) {
    const operation = !value ? "delete" : previous ? "update" : "insert";
    changes.push({ operation, key: this.#key ? (value ?? previous)[this.#key] : key, value, previous });
  }
  /** All rows have come: they are the rows now. Those that are as they were stay the objects that they were. */
  #swap(changes) {
    const [before, next] = [this.#all, this.#next ?? /* @__PURE__ */ new Map()];
    for (const [key, previous] of before) if (!next.has(key)) this.#note(key, void 0, previous, changes);
    for (const [key, value] of next) {
      const previous = before.get(key);
      if (previous && text(value) === text(previous)) next.set(key, previous);
      else this.#note(key, value, previous, changes);
    }
    this.#all = next;
    this.#next = null;
  }
  /** Everything up to there is in the rows, unless some of them are still to come. */
  #stand(id, isAnew) {
    if (!id || isIncomplete(id) || this.#next) return;
    if (this.position && !isOneLog(id, this.position)) this.#lost.add(epoch2(this.position)).delete(epoch2(id));
    this.position = id;
    this.#settle(isAnew);
  }
  /** Let those go on who have waited for what is in the rows now. */
  #settle(isAnew) {
    let asks = false;
    for (const waiter of this.#waiters) {
      const { position, isAsked, resolve } = waiter;
      const isForeign = !isOneLog(position, this.position);
      if (isKnown(bare(position), bare(this.position)) || this.#lost.has(epoch2(position)) || isAnew && isAsked && isForeign) {
        this.#waiters.delete(waiter);
        resolve();
      } else if (this.position && !isAsked && isForeign) asks = waiter.isAsked = true;
    }
    if (asks) this.#open(WRONG_ROWS);
  }
  /** Say what has changed: rows, the state, or both. */
  #follow(isLive, changes) {
    const { state } = this.#live;
    const error = this.#failure ?? this.#live.error;
    const before = [this.state, this.error];
    this.#isLive = isLive;
    this.state = state === "closed" ? state : !this.position ? "loading" : isLive ? "live" : "waiting";
    this.error = error;
    if (state === "closed") {
      const failure = new Error(error?.message ?? "The collection is closed.");
      for (const { reject } of [this.#begin, ...this.#waiters]) reject(failure);
      this.#waiters.clear();
    }
    if (changes && this.onchange) this.#tell(this.onchange, changes);
    if (!changes && this.state === before[0] && error === before[1]) return;
    for (const own of [...this.#listeners]) if (this.#listeners.has(own)) this.#tell(own.listener, changes ?? []);
  }
  /** One listener's error is everybody's to see, and stops nobody. */
  #tell(listener, changes) {
    try {
      listener(this.rows, changes);
    } catch (error) {
      this.#report(error);
    }
  }
};
function sorter(orders) {
  const all = orders.map((order) => order[0] === "-" ? [order.slice(1), -1] : [order, 1]);
  return (a, b) => {
    for (const [name, sign] of all) {
      const [one, other] = [a[name] ?? null, b[name] ?? null];
      if (one === other) continue;
      if (one === null || other !== null && one < other) return -sign;
      if (other === null || one > other) return sign;
    }
    return 0;
  };
}

// src/collection.ts
var collection = (url, options = {}) => new Rows((since) => connect(url, { ...options, since }), options, reportError);
export {
  collection
};
