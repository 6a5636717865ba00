// A world for the client, in which time stands still until the next thing happens: a browser with tabs, workers, locks and
// channels, and a server with a log. What happens, and when, is drawn from a seed.

import type { Env, Locks, PageEnv, Port, Undo } from "../src/env.js";
import { isIncomplete, isOneLog } from "../src/position.js";
import { matches } from "../src/topics.js";
import type { Close, Request, Sink } from "../src/transports.js";
import { serve } from "../src/ways.js";

export type Random = () => number;

/** mulberry32: the same numbers for the same seed, everywhere. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Entry {
  at: number;
  order: number;
  act: (() => void) | null;
}

/** What happens next, first: a binary heap. */
export class Clock {
  now = 0;
  #heap: Entry[] = [];
  #count = 0;

  after(delay: number, act: () => void): Undo {
    const entry: Entry = { at: this.now + Math.max(0, delay), order: this.#count++, act };
    const heap = this.#heap;
    let place = heap.push(entry) - 1;
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (!before(entry, heap[above]!)) break;
      heap[place] = heap[above]!;
      place = above;
    }
    heap[place] = entry;
    return () => {
      entry.act = null;
    };
  }

  /** False if nothing is left to happen until then. */
  step(until: number): boolean {
    for (;;) {
      const next = this.#heap[0];
      if (!next || next.at > until) {
        this.now = until;
        return false;
      }
      const last = this.#heap.pop()!;
      if (last !== next) this.#sink(last);
      if (!next.act) continue;
      this.now = Math.max(this.now, next.at);
      next.act();
      return true;
    }
  }

  #sink(entry: Entry): void {
    const heap = this.#heap;
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && before(heap[below + 1]!, heap[below]!)) below++;
      if (!before(heap[below]!, entry)) break;
      heap[place] = heap[below]!;
      place = below;
    }
    heap[place] = entry;
  }
}

const isSelected = (n: number | undefined) => n !== undefined && n % 2 === 0;
const before = (a: Entry, b: Entry) => a.at < b.at || (a.at === b.at && a.order < b.order);

/** A page or a worker: it can be frozen, and it can die. */
export class Realm {
  isAlive = true;
  isFrozen = false;
  readonly timers = new Set<object>();
  readonly listeners = new Map<string, Set<() => void>>();
  #waiting: (() => void)[] = [];

  constructor(readonly name: string) {}

  /** Now, or when it is thawed, or never. */
  run(act: () => void): void {
    if (!this.isAlive) return;
    if (this.isFrozen) this.#waiting.push(act);
    else act();
  }

  thaw(): void {
    this.isFrozen = false;
    for (const act of this.#waiting.splice(0)) this.run(act);
  }
}

interface Asked {
  realm: Realm;
  isShared: boolean;
  granted: () => void;
  stolen: () => void;
}

interface Lock {
  held: Asked[];
  queue: Asked[];
}

export interface Posted {
  position: number;
  topic: string;
  /** What it means for the rows of the live query. */
  rows?: Told[];
}

export interface Row {
  id: string;
  n: number;
}

/** A message of the State Protocol. */
interface Told {
  type?: "todo";
  key?: string;
  value?: Row;
  headers: { operation?: "insert" | "update" | "delete"; control?: string };
}

interface Connection {
  sink: Sink;
  realm: Realm;
  topics: string[] | null;
  user: string;
  isSilent: boolean;
  isOver: boolean;
  due: number;
  /** The newest id, which holds until the next one. */
  id: string;
  /** It reads a live query: what its rows are, or what has become of them. */
  hasRows: boolean;
  /** Its rows are being read, and it gets nothing before. */
  isHeld: boolean;
}

export interface Faults {
  /** What the server answers instead of streams; 0 for nothing: no network; "hangs": it says nothing. */
  answer: "streams" | "hangs" | 0 | 404 | 503 | "html";
}

/** What anybody may hear, what a user may hear, and what nobody may. */
export const PUBLIC = ["a.1", "a.2", "b.1"];
export const NO_TOKEN = "no token";
/** What ends a listener of a page that is left, as Firefox ends it where the page's process ends. */
const BROKEN_OFF = new Error("broken off");
/** Who is in a room, and the topic that tells it. */
export const ROOM = "r";
const PRESENCE = `presence.${ROOM}`;
/** More than these are counted, and not named. */
const MOST_NAMED = 3;
const HEARTBEAT = 15;
const MOST_TOPICS = 5;
const KEPT = 12;

export class World {
  readonly clock = new Clock();
  readonly faults: Faults = { answer: "streams" };
  /** Who is logged in. */
  cookie = "ann";
  /** Tokens that the server takes, by user. */
  readonly tokens = new Map<string, string>();
  epoch = 1;
  log: Posted[] = [];
  head = 0;
  /** A table, of which a live query selects the rows with an even number. */
  readonly table = new Map<string, number>();
  /** Who is in the room, each with a state. */
  readonly members = new Map<string, number>();
  hasRoom = false;
  readonly connections = new Set<Connection>();
  readonly problems: string[] = [];
  requests = 0;
  readonly locks = new Map<string, Lock>();
  readonly channels = new Map<string, Set<{ realm: Realm; hear: (data: any) => void }>>();
  readonly workers = new Map<string, { realm: Realm; connect: ReturnType<typeof serve>; owners: Set<Realm> }>();
  hasLocks = true;
  hasWorkers = true;
  workerStart: number | "never" | "broken" = 5;
  #names = 0;

  constructor(readonly random: Random) {}

  // ---- the server

  /** Whether all that came behind this position is still there. */
  has(position: string): boolean {
    const oldest = this.log[0]?.position ?? this.head + 1;
    return !isIncomplete(position) && isOneLog(position, this.position) && Number(position.split("-")[1]) + 1 >= oldest;
  }

  get position(): string {
    return `${this.epoch}-${this.head}`;
  }

  emit(topic: string): void {
    this.#post({ position: this.head + 1, topic });
  }

  /** One commit: rows that get this number, or (null) are deleted. */
  write(changes: [id: string, n: number | null][]): void {
    const rows: Told[] = [];
    for (const [id, n] of changes) {
      const [had, has] = [isSelected(this.table.get(id)), isSelected(n ?? undefined)];
      if (n === null) this.table.delete(id);
      else this.table.set(id, n);
      if (has) rows.push({ type: "todo", key: id, value: { id, n: n! }, headers: { operation: had ? "update" : "insert" } });
      else if (had) rows.push({ type: "todo", key: id, headers: { operation: "delete" } });
    }
    this.#post({ position: this.head + 1, topic: "todo", rows });
  }

  /** Somebody comes, is another one, or (null) goes. `isMissed`: those who watch are told by a list, as behind a gap. */
  attend(user: string, state: number | null, isMissed: boolean): void {
    const { members } = this;
    const wasCrowd = members.size > MOST_NAMED;
    const what = state === null ? "left" : members.has(user) ? "updated" : "joined";
    if (state === null) members.delete(user);
    else members.set(user, state);
    const isCrowd = members.size > MOST_NAMED;
    const change = { room: ROOM, count: members.size, [what]: [state === null ? user : this.#member(user)] };
    for (const connection of this.connections) this.#tellRoom(connection, wasCrowd || isCrowd || isMissed ? this.room : change);
  }

  /** As those who watch it see it. */
  get room(): object {
    const { members } = this;
    const isCrowd = members.size > MOST_NAMED;
    return { room: ROOM, count: members.size, ...(isCrowd ? {} : { members: [...members.keys()].map((user) => this.#member(user)) }) };
  }

  #member(user: string): object {
    return { user_id: user, state: this.members.get(user), since: 1 };
  }

  #tellRoom(connection: Connection, room: object): void {
    const { topics, isSilent } = connection;
    if (!this.hasRoom || isSilent || !(topics?.includes(PRESENCE) ?? true)) return;
    this.#event(connection, "message", `${PRESENCE}\n${JSON.stringify(room)}`, "");
  }

  /** Those who read the live query get all rows again. */
  readAgain(): void {
    for (const connection of this.connections) if (connection.hasRows) this.#giveRows(connection, true);
  }

  get rows(): Row[] {
    return [...this.table].filter(([, n]) => isSelected(n)).map(([id, n]) => ({ id, n }));
  }

  #post(posted: Posted): void {
    this.head++;
    this.log.push(posted);
    if (this.log.length > KEPT) this.log.shift();
    for (const connection of this.connections) this.#pass(connection, posted);
  }

  #pass(connection: Connection, { topic, position, rows }: Posted): void {
    if (!connection.hasRows) this.#send(connection, topic, position);
    else if (rows?.length && !connection.isHeld) this.#tellRows(connection, rows, `${this.epoch}-${position}`);
  }

  #tellRows(connection: Connection, rows: Told[], id: string): void {
    if (!connection.isSilent) this.#event(connection, "message", `todo\n${JSON.stringify(rows)}`, id);
  }

  /** Later, since they have to be read: in parts, of which the last one says up to where they are. */
  #giveRows(connection: Connection, isReset: boolean): void {
    const { epoch } = this;
    connection.isHeld = true;
    this.clock.after(this.random() * 60, () => {
      if (connection.isOver || epoch !== this.epoch) return;
      connection.isHeld = false;
      const all: Told[] = this.rows.map((value) => ({ type: "todo", key: value.id, value, headers: { operation: "insert" } }));
      const control = (name: string): Told => ({ headers: { control: name } });
      if (isReset) all.unshift(control("reset"));
      all.splice(isReset ? 1 : 0, 0, control("snapshot-start"));
      all.push(control("snapshot-end"));
      const size = 2 + Math.floor(this.random() * 6);
      while (all.length > size) this.#tellRows(connection, all.splice(0, size), "snapshot-0");
      this.#tellRows(connection, all, this.position);
    });
  }

  /** Started again: its log is gone, unless it is kept elsewhere. */
  restart(forgets: boolean): void {
    for (const connection of [...this.connections]) this.#hangUp(connection);
    if (!forgets) return;
    this.epoch++;
    this.log = [];
    this.head = 0;
  }

  cut(isSilent: boolean): void {
    for (const connection of [...this.connections]) {
      if (isSilent) connection.isSilent = true;
      else this.#hangUp(connection);
    }
  }

  #mayHear(user: string, topic: string): boolean {
    return topic === PRESENCE || topic.startsWith("a.") || topic.startsWith("b.") || topic.startsWith(`${user}.`);
  }

  /** In order, some milliseconds later, if the one who hears it lives and the connection does. */
  #later(connection: Connection, act: () => void): void {
    connection.due = Math.max(this.clock.now + this.random() * 4, connection.due);
    this.clock.after(connection.due - this.clock.now, () => connection.realm.run(() => connection.isOver || act()));
  }

  #send(connection: Connection, topic: string, position: number): void {
    if (connection.isSilent || !this.#mayHear(connection.user, topic)) return;
    if (connection.topics && !connection.topics.some((pattern) => matches(pattern, topic))) return;
    const [text, id] = [`${topic}\n${JSON.stringify({ topic, position })}`, `${this.epoch}-${position}`];
    this.#event(connection, "message", text, id);
  }

  #event(connection: Connection, type: string, text: string, id: string): void {
    this.#later(connection, () => connection.sink.event(type, text, (connection.id = id || connection.id)));
  }

  #control(connection: Connection, fields: object, id: string): void {
    this.#event(connection, "message", `nitro.stream\n${JSON.stringify(fields)}`, id);
  }

  #hangUp(connection: Connection): void {
    this.connections.delete(connection);
    this.#later(connection, () => {
      connection.isOver = true;
      connection.sink.end();
    });
  }

  read(realm: Realm, request: Request, sink: Sink): Close {
    this.requests++;
    const connection: Connection = { sink, realm, topics: null, user: "", isSilent: false, isOver: false, due: 0, id: "", hasRows: false, isHeld: false };
    const cookie = this.cookie;
    this.clock.after(1 + this.random() * 20, () => {
      if (!connection.isOver && realm.isAlive) this.#answer(connection, request, cookie);
    });
    return () => {
      connection.isOver = true;
      this.connections.delete(connection);
    };
  }

  #answer(connection: Connection, request: Request, cookie: string): void {
    const { answer } = this.faults;
    const refuse = (status?: number) =>
      this.#later(connection, () => {
        connection.isOver = true;
        if (!status) connection.sink.end();
        else connection.sink.end({ status, message: `${status}` });
      });
    if (answer === "hangs") return;
    if (answer !== "streams") return refuse(answer === "html" ? 200 : answer || undefined);
    const { searchParams: query, pathname } = new URL(request.url);
    const token = request.headers.authorization;
    let user = cookie;
    if (token !== undefined) {
      user = token.split(":")[0]!;
      if (this.tokens.get(user) !== token) return refuse(401);
    }
    const topics = query.getAll("topic");
    for (const [name, value] of Object.entries(request.headers)) {
      if (name.toLowerCase().startsWith("nitro-topics")) topics.push(...value.split(","));
    }
    if (topics.some((topic) => !this.#mayHear(user, topic))) return refuse(403);
    if (topics.length > MOST_TOPICS) return refuse(422);
    Object.assign(connection, { topics: topics.length ? topics : null, user, hasRows: pathname === "/rows" });
    const greeting = { retry: 500, heartbeat: HEARTBEAT, for: `u${user}` };
    if (query.has("probe")) {
      this.#control(connection, greeting, "");
      return this.#hangUp(connection);
    }
    this.connections.add(connection);
    const last = query.get("last_event_id") ?? "";
    const place = last.split("-")[1];
    const isHad = this.has(last);
    if (connection.hasRows && !isHad) {
      this.#control(connection, greeting, last ? "snapshot-1" : "snapshot-0");
      this.#giveRows(connection, !!last);
    } else if (!last) this.#control(connection, greeting, this.position);
    else if (isHad) {
      this.#control(connection, greeting, last);
      for (const posted of this.log) if (posted.position > Number(place)) this.#pass(connection, posted);
    } else {
      this.#control(connection, greeting, "");
      const gap = JSON.stringify({ reason: isOneLog(last, this.position) ? "expired" : "epoch", resumed_at: this.position });
      this.#event(connection, "gap", gap, "");
    }
    this.#tellRoom(connection, this.room);
    this.#beat(connection);
  }

  #beat(connection: Connection): void {
    this.clock.after(HEARTBEAT * 1000, () => {
      if (!this.connections.has(connection)) return;
      if (!connection.isSilent && !connection.isHeld) this.#control(connection, {}, this.position);
      this.#beat(connection);
    });
  }

  // ---- the browser

  kill(realm: Realm): void {
    realm.isAlive = false;
    for (const connection of [...this.connections]) if (connection.realm === realm) this.connections.delete(connection);
    this.dropLocks(realm);
    for (const [name, all] of this.channels) {
      for (const each of all) if (each.realm === realm) all.delete(each);
      if (!all.size) this.channels.delete(name);
    }
    for (const [key, { owners, realm: own }] of this.workers) {
      owners.delete(realm);
      if (own === realm || !owners.size) {
        this.workers.delete(key);
        if (own !== realm) this.kill(own);
      }
    }
  }

  dropLocks(realm: Realm): void {
    for (const [name, lock] of this.locks) {
      lock.held = lock.held.filter((asked) => asked.realm !== realm);
      lock.queue = lock.queue.filter((asked) => asked.realm !== realm);
      this.#grant(name);
    }
  }

  #grant(name: string): void {
    const lock = this.locks.get(name);
    if (!lock) return;
    for (let next = lock.queue[0]; next; next = lock.queue[0]) {
      const { isShared, realm, granted } = next;
      if (lock.held.length && !(isShared && lock.held.every((held) => held.isShared))) break;
      lock.held.push(lock.queue.shift()!);
      this.clock.after(this.random() * 2, () => realm.run(granted));
    }
    if (!lock.held.length && !lock.queue.length) this.locks.delete(name);
  }

  #request(realm: Realm, name: string, isShared: boolean, isStolen: boolean, got: (free: Undo) => void, stolen: () => void): Undo {
    const lock = this.locks.get(name) ?? { held: [], queue: [] };
    this.locks.set(name, lock);
    let [isFree, isHeld, isStolenFrom] = [false, false, false];
    const robbed = () => {
      isStolenFrom = true;
      if (!isHeld || isFree) return; // it hears first that it has the lock
      isFree = true;
      stolen();
    };
    const granted = () => {
      if (isFree) return;
      isHeld = true;
      got(free);
      if (isStolenFrom) robbed();
    };
    const asked: Asked = { realm, isShared, granted, stolen: robbed };
    const free = () => {
      if (isFree) return;
      isFree = true;
      const own = this.locks.get(name);
      if (!own) return;
      own.held = own.held.filter((each) => each !== asked);
      own.queue = own.queue.filter((each) => each !== asked);
      this.#grant(name);
    };
    if (isStolen) {
      for (const { realm: robbed, stolen: tell } of lock.held.splice(0)) this.clock.after(0, () => robbed.run(tell));
      lock.queue.unshift(asked);
    } else lock.queue.push(asked);
    this.#grant(name);
    return free;
  }

  #locksOf(realm: Realm): Locks {
    return {
      hold: (name, held) => this.#request(realm, name, false, false, held, () => {}),
      watch: (name, gone) =>
        this.#request(realm, name, true, false, (free) => (free(), gone()), () => {}),
      lead: (name, isStolen, led, over) => {
        let hasLed = false;
        let isOver = false;
        const end = () => {
          if (!hasLed || isOver) return;
          isOver = true;
          over();
        };
        const undo = this.#request(realm, name, false, isStolen, (free) => {
          hasLed = true;
          led(() => {
            free();
            this.clock.after(0, () => realm.run(end));
          });
        }, end);
        return () => {
          undo();
          this.clock.after(0, () => realm.run(end));
        };
      },
    };
  }

  #port(target: Realm, hear: (data: any) => void): Port {
    let isOpen = true;
    let due = 0;
    return {
      post: (data) => {
        if (!isOpen) return;
        due = Math.max(due, this.clock.now + this.random() * 3);
        this.clock.after(due - this.clock.now, () => target.run(() => hear(data)));
      },
      close: () => {
        isOpen = false;
      },
    };
  }

  #channel(realm: Realm, name: string, hear: (data: any) => void): Port {
    const all = this.channels.get(name) ?? new Set();
    this.channels.set(name, all);
    const own = { realm, hear };
    all.add(own);
    const ports = new Map<object, Port>();
    return {
      post: (data) => {
        for (const other of all) {
          if (other === own || !all.has(own)) continue;
          const hears = (heard: any) => all.has(other) && other.hear(heard);
          const port = ports.get(other) ?? this.#port(other.realm, hears);
          ports.set(other, port);
          port.post(data);
        }
      },
      close: () => {
        all.delete(own);
        if (!all.size) this.channels.delete(name);
      },
    };
  }

  #env(realm: Realm): Env {
    return {
      now: () => this.clock.now,
      after: (delay, act) => {
        const timer = {};
        realm.timers.add(timer);
        const undo = this.clock.after(delay, () =>
          realm.run(() => {
            if (realm.timers.delete(timer)) act();
          }),
        );
        return () => {
          realm.timers.delete(timer);
          undo();
        };
      },
      soon: (act) => this.clock.after(0, () => realm.run(act)),
      random: this.random,
      name: () => `n${this.#names++}`,
      read: (request, sink) => this.read(realm, request, sink),
      locks: this.hasLocks ? this.#locksOf(realm) : null,
      channel: this.hasLocks ? (name, hear) => this.#channel(realm, name, hear) : null,
    };
  }

  #worker(page: Realm, script: string | URL, name: string, hear: (data: any) => void, broken: () => void): Port {
    const key = `${script} ${name}`;
    const start = this.workerStart;
    let inner: Port | undefined;
    let isOpen = true;
    const early: unknown[] = [];
    if (start === "broken") this.clock.after(3, () => page.run(() => isOpen && broken()));
    else if (start !== "never") {
      this.clock.after(this.workers.has(key) ? 0 : start, () => {
        if (!page.isAlive) return;
        let worker = this.workers.get(key);
        if (!worker) {
          const realm = new Realm(`worker ${key}`);
          worker = { realm, connect: serve(this.#env(realm)), owners: new Set() };
          this.workers.set(key, worker);
        }
        worker.owners.add(page);
        const back = this.#port(page, (data) => isOpen && hear(data));
        inner = this.#port(worker.realm, worker.connect(back));
        for (const data of early.splice(0)) inner.post(data);
      });
    }
    return {
      post: (data) => isOpen && (inner ? inner.post(data) : early.push(data)),
      close: () => {
        isOpen = false;
        this.clock.after(5, () => inner?.close());
      },
    };
  }

  /** What a page has, and how to tell it what happens to it. */
  page(realm: Realm, storage: Map<string, object>): { env: PageEnv; tell: (what: string) => void } {
    const { listeners } = realm;
    let breaksOff = false;
    const env: PageEnv = {
      ...this.#env(realm),
      worker: this.hasWorkers ? (script, name, hear, broken) => this.#worker(realm, script, name, hear, broken) : null,
      keep: (key, thing) => void (thing ? storage.set(key, thing) : storage.delete(key)),
      kept: (key) => {
        if (breaksOff) throw BROKEN_OFF;
        return storage.get(key) ?? null;
      },
      before: {},
      date: () => this.clock.now,
      on: (what, act) => {
        if (what === "start") act();
        const all = listeners.get(what) ?? new Set();
        listeners.set(what, all.add(act));
        return () => void all.delete(act);
      },
      report: (error) => {
        const { message, stack } = error as Error;
        if (message !== NO_TOKEN) this.problems.push(`${realm.name}: ${stack}`);
      },
    };
    const tell = (what: string) => {
      breaksOff = what === "hide" && this.random() < 0.3;
      for (const act of [...(listeners.get(what) ?? [])]) {
        try {
          act();
        } catch (error) {
          if (error !== BROKEN_OFF) throw error;
          breaksOff = false;
        }
      }
      breaksOff = false;
    };
    return { env, tell };
  }
}
