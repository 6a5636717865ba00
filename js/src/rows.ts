// The rows of a live query: what its messages say, in order. It knows neither page nor network: `collection.ts` gives both.

import type { Live, Options } from "./live.js";
import { isIncomplete, isKnown, isOneLog, NO_ROWS, WRONG_ROWS } from "./position.js";
import type { Failure } from "./transports.js";

/** An attribute, or `"-attribute"`: the other way round. Null comes before everything else. */
export type Order<Row> = (keyof Row & string) | `-${keyof Row & string}`;

export interface CollectionOptions<Row> extends Omit<Options, "topics" | "since"> {
  /** The attribute that is the row's key; without it, keys are the strings by which the server knows the rows. */
  key?: keyof Row & string;
  /** How rows are sorted; without it, as they came: the rows of the snapshot in its order, and new ones behind them. */
  sort?: Order<Row> | Order<Row>[] | ((a: Row, b: Row) => number);
}

/** One row that is there, that is another one, or that is gone. `previous` is what it was, and `value` what it is. */
export interface Change<Row> {
  operation: "insert" | "update" | "delete";
  key: any;
  value: Row | undefined;
  previous: Row | undefined;
}

export type Listener<Row> = (rows: readonly Row[], changes: Change<Row>[]) => void;

/** The rows of a live query, as they are now. Its functions can be handed on without it. */
export interface Collection<Row> {
  /** Frozen; the same array as long as nothing has changed, and the same objects for rows that have not. */
  readonly rows: readonly Row[];
  readonly size: number;
  /** The row that has this key, as changes have it. */
  get(key: unknown): Row | undefined;
  /** `"loading"`: it has no rows yet. `"waiting"`: they may be old, and it comes back by itself. `"closed"`: it does not. */
  readonly state: "loading" | "live" | "waiting" | "closed";
  /** Why it is closed, or what it waits for. */
  readonly error: Failure | null;
  /** Everything up to there, in the server's log, is in the rows. Empty before there are rows. */
  readonly position: string;
  /** Resolves when it has rows. Rejects if it is closed before. */
  readonly ready: Promise<void>;
  /** Called once for each commit that changes rows, and once when all were read anew, with the difference. */
  onchange: Listener<Row> | null;
  /** As `onchange`, and also called, without changes, when `state` is another one. Returns a function that ends it. */
  subscribe(listener: Listener<Row>): () => void;
  /**
   * Resolves when everything up to there is in the rows: at once without a position, as of a response that has none, since
   * then nothing was written. A position of a log that was lost since is in them. For one of a log that it does not know,
   * all rows are read anew: what was written before it was asked for is in them. Rejects with a `TypeError` for what is no
   * position, and with an `Error` when the collection is closed.
   */
  reached(position: string | null | undefined): Promise<void>;
  /** For good. The rows stay as they are. */
  close(): void;
}

/** A message of the State Protocol. */
interface Told<Row> {
  key: string;
  value?: Row;
  headers: { operation?: Change<Row>["operation"]; control?: "reset" | "snapshot-start" | "snapshot-end" };
}

interface Waiter {
  position: string;
  /** Rows that are read anew are awaited, since its log is not known. */
  isAsked: boolean;
  resolve: () => void;
  reject: (error: Error) => void;
}

const epoch = (position: string) => position.slice(0, position.indexOf("-"));
/** Without its stamp, which the others may lack. */
const bare = (position: string) => position.replace(/\..*/, "");
const text = (row: unknown) => JSON.stringify(row, (_, value) => (typeof value === "bigint" ? `${value}n` : value));

export class Rows<Row extends object> implements Collection<Row> {
  state: Collection<Row>["state"] = "loading";
  error: Failure | null = null;
  position = "";
  onchange: Listener<Row> | null = null;
  readonly ready: Promise<void>;
  #connect: (since: string) => Live;
  #report: (error: unknown) => void;
  #key: (keyof Row & string) | undefined;
  #sort: ((a: Row, b: Row) => number) | undefined;
  #live!: Live;
  #isLive = false;
  #isWrong = false; // what it has, until rows that are read anew have come
  #failure: Failure | null = null; // what it has found wrong itself
  #all = new Map<string, Row>();
  #next: Map<string, Row> | null = null; // what has come so far of rows that are read anew; the others are shown until it is whole
  #rows: readonly Row[] = Object.freeze([]);
  #isSorted = true; // whether `#rows` has what `#all` has
  #listeners = new Set<{ listener: Listener<Row> }>();
  #waiters = new Set<Waiter>();
  #lost = new Set<string>(); // epochs of logs in which it has stood
  #begin!: Pick<Waiter, "resolve" | "reject">;

  constructor(connect: (since: string) => Live, { key, sort }: CollectionOptions<Row>, report: (error: unknown) => void) {
    this.#connect = connect;
    this.#report = report;
    this.#key = key;
    this.#sort = typeof sort === "function" ? sort : sort && sorter([sort].flat() as string[]);
    this.ready = new Promise((resolve, reject) => (this.#begin = { resolve, reject }));
    this.ready.catch(() => {}); // nobody has to wait for it
    this.#open(NO_ROWS);
  }

  get rows(): readonly Row[] {
    if (!this.#isSorted) {
      const rows = [...this.#all.values()];
      if (this.#sort) rows.sort(this.#sort);
      const { length } = this.#rows;
      if (rows.length !== length || rows.some((row, place) => row !== this.#rows[place])) this.#rows = Object.freeze(rows);
      this.#isSorted = true;
    }
    return this.#rows;
  }

  get size(): number {
    return this.#all.size;
  }

  get = (key: unknown): Row | undefined => {
    const name = this.#key;
    const row = this.#all.get(`${key}`);
    const isIt = (row: Row) => `${row[name!]}` === `${key}`;
    return !name || (row && isIt(row)) ? row : this.rows.find(isIt); // the server's text of an enum or a date is not that in the row
  };

  subscribe = (listener: Listener<Row>): (() => void) => {
    const own = { listener };
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  };

  reached = (position: string | null | undefined): Promise<void> =>
    new Promise((resolve, reject) => {
      if (!position) return resolve();
      if (!/^\w+-\d+(\.\w+)?$/.test(position)) throw new TypeError(`${JSON.stringify(position)} is no position`);
      if (this.state === "closed") throw new Error("The collection is closed.");
      this.#waiters.add({ position, isAsked: false, resolve, reject });
      return this.#settle(false);
    });

  close = (): void => this.#live.close();

  /** From there. What it had before is shown until all rows have come. */
  #open(since: string): void {
    const old = this.#live as Live | undefined;
    const live = (this.#live = this.#connect(since));
    const own =
      <T extends unknown[]>(act: (...heard: T) => void) =>
      (...heard: T) =>
        live === this.#live && act(...heard);
    this.#next = null;
    this.#isWrong = true;
    live.onstate = own(() => this.#follow(live.state === "open" && !this.#isWrong));
    live.on("*", own((told: Told<Row>[], { topic, id }) => topic && (Array.isArray(told) ? this.#hear(told, id) : this.#isWrong && this.#refuse())));
    live.on("nitro.position", own((id) => this.position && this.#stand(id, false)));
    live.on("gap", own(({ reason }) => (this.#isWrong && reason !== "rights" ? this.#refuse() : this.#open(WRONG_ROWS))));
    old?.close();
    if (old) this.#follow(false);
  }

  /** A live query gives all rows first. Another stream does not know where that is, and HTML is no rows. */
  #refuse(): void {
    this.#failure = { message: "No rows as JSON: use EventSourceResponse(X.live(…))." };
    this.close();
  }

  #hear(told: Told<Row>[], id: string): void {
    const changes: Change<Row>[] = [];
    let rows: readonly Row[] | null = null;
    for (const { key, value, headers } of told) {
      const { operation, control } = headers;
      if (control === "snapshot-start") this.#next = new Map();
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
    this.#follow(this.#isLive, isFirst || changes.length || (rows && rows !== this.rows) ? changes : undefined);
  }

  #put(key: string, value: Row | undefined, changes: Change<Row>[]): void {
    const previous = this.#all.get(key);
    if (value ? previous && text(value) === text(previous) : !previous) return;
    if (value) this.#all.set(key, value);
    else this.#all.delete(key);
    this.#note(key, value, previous, changes);
  }

  #note(key: string, value: Row | undefined, previous: Row | undefined, changes: Change<Row>[]): void {
    const operation = !value ? "delete" : previous ? "update" : "insert";
    changes.push({ operation, key: this.#key ? (value ?? previous)![this.#key] : key, value, previous });
  }

  /** All rows have come: they are the rows now. Those that are as they were stay the objects that they were. */
  #swap(changes: Change<Row>[]): void {
    const [before, next] = [this.#all, this.#next ?? new Map<string, Row>()];
    for (const [key, previous] of before) if (!next.has(key)) this.#note(key, undefined, previous, changes);
    for (const [key, value] of next) {
      const previous = before.get(key);
      if (previous && text(value) === text(previous)) next.set(key, previous);
      else this.#note(key, value, previous, changes);
    }
    this.#all = next;
    this.#next = null;
  }

  /** Everything up to there is in the rows, unless some of them are still to come. */
  #stand(id: string, isAnew: boolean): void {
    if (!id || isIncomplete(id) || this.#next) return;
    if (this.position && !isOneLog(id, this.position)) this.#lost.add(epoch(this.position)).delete(epoch(id));
    this.position = id;
    this.#settle(isAnew);
  }

  /** Let those go on who have waited for what is in the rows now. */
  #settle(isAnew: boolean): void {
    let asks = false;
    for (const waiter of this.#waiters) {
      const { position, isAsked, resolve } = waiter;
      const isForeign = !isOneLog(position, this.position);
      if (isKnown(bare(position), bare(this.position)) || this.#lost.has(epoch(position)) || (isAnew && isAsked && isForeign)) {
        this.#waiters.delete(waiter);
        resolve();
      } else if (this.position && !isAsked && isForeign) asks = waiter.isAsked = true;
    }
    if (asks) this.#open(WRONG_ROWS);
  }

  /** Say what has changed: rows, the state, or both. */
  #follow(isLive: boolean, changes?: Change<Row>[]): void {
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
  #tell(listener: Listener<Row>, changes: Change<Row>[]): void {
    try {
      listener(this.rows, changes);
    } catch (error) {
      this.#report(error);
    }
  }
}

/** By these attributes, the first one first. */
function sorter<Row>(orders: string[]): (a: Row, b: Row) => number {
  const all = orders.map((order) => (order[0] === "-" ? [order.slice(1), -1] : [order, 1]) as [keyof Row, number]);
  return (a, b) => {
    for (const [name, sign] of all) {
      const [one, other] = [a[name] ?? null, b[name] ?? null];
      if (one === other) continue;
      if (one === null || (other !== null && one < other)) return -sign;
      if (other === null || one > other) return sign;
    }
    return 0;
  };
}
