// What needs no browser; everything else is tests/test_browser_client.py.

import assert from "node:assert/strict";
import test from "node:test";

import { createParser } from "eventsource-parser";

import { backoff } from "../src/backoff.js";
import { Host } from "../src/host.js";
import { type Live, Member } from "../src/live.js";
import { parser } from "../src/parser.js";
import { isKnown } from "../src/position.js";
import type { ToMember } from "../src/protocol.js";
import { listed } from "../src/rooms.js";
import { type Change, type CollectionOptions, Rows } from "../src/rows.js";
import { followIn } from "../src/runs.js";
import { checked, matches } from "../src/topics.js";
import { type Failure, failed, read } from "../src/transports.js";
import { explore } from "./explore.js";
import { exploreRows } from "./rows.js";
import { exploreRuns } from "./runs.js";
import { randomFrom, Realm, World } from "./world.js";

test("patterns match as on the server", () => {
  const yes = ["a a", "* a.b", "todo.* todo.a.b", "*.created a.created", "order-* order-7", "t*e*d todo.created", "** ab"];
  const no = ["a b", "todo.* todo.", "todo.* todo", "*.created .created", "a*a a", "ab*ba aba", "** a", "t*e*d ted"];
  for (const pair of yes) assert.ok(matches(...(pair.split(" ") as [string, string])), pair);
  for (const pair of no) assert.ok(!matches(...(pair.split(" ") as [string, string])), pair);
});

test("no star hears who is in a room", () => {
  assert.ok(matches("presence.a", "presence.a"));
  for (const pattern of ["*", "presence.*", "*.a", "pres*", "presence.b"]) assert.ok(!matches(pattern, "presence.a"), pattern);
});

test("who is in a room is listed by since when, whoever is told first", () => {
  const [ann, bob, cid] = ["ann", "bob", "cid"].map((user_id, since) => ({ user_id, state: null, since }));
  const first = listed(undefined, { room: "r", count: 1, members: [bob!] });
  assert.deepEqual(listed(first, { room: "r", count: 3, joined: [cid!, ann!] }).members, [ann, bob, cid]);
  assert.deepEqual(listed(first, { room: "r", count: 0, left: ["bob"] }).members, []);
  assert.deepEqual(listed(first, { room: "r", count: 900 }), { room: "r", count: 900, members: undefined });
});

test("who is in a room is JSON, whatever events are", () => {
  const { world, run } = worldOf({});
  world.hasRoom = true;
  world.attend("ann", 7, false);
  const { env } = world.page(new Realm("page"), new Map());
  const live = new Member(env, "http://x/events", { topics: ["a.1"], worker: "w.js", parse: (text) => [text] });
  const heard: unknown[] = [];
  live.on("a.1", (data) => heard.push(data));
  live.presence("r", ([member], count) => heard.push([member?.state, count]));
  run(2);
  world.emit("a.1");
  run(1);
  assert.deepEqual(heard, [[7, 1], ['{"topic":"a.1","position":1}']]);
});

test("what is closed stays closed, and what it closes in a handler is heard by no other", () => {
  const { world, run } = worldOf({});
  const { env } = world.page(new Realm("page"), new Map());
  world.hasRoom = true;
  const live = new Member(env, "http://x/events", { topics: [], worker: "w.js" });
  const states: string[] = [];
  live.onstate = (state) => states.push(state);
  const heard: string[] = [];
  const end = live.presence("r", () => (heard.push("first"), live.close()));
  live.presence("r", () => heard.push("second"));
  run(2);
  end();
  assert.deepEqual([heard, states.at(-1), live.state], [["first"], "closed", "closed"]);
});

test("a look may be ended by what it is told first, whichever way it comes", () => {
  for (const setting of [{}, { hasWorkers: false }, { hasWorkers: false, hasLocks: false }]) {
    const { world, run } = worldOf(setting);
    world.hasRoom = true;
    const live = new Member(world.page(new Realm("page"), new Map()).env, "http://x/events", { topics: ["a.1"], worker: "w.js" });
    live.presence("r", () => {});
    run(2);
    let heard = 0;
    const end = live.presence("r", () => (heard++, end()));
    run(2);
    assert.equal(heard, 1);
    live.close();
    run(5);
  }
});

test("what is no room's name is refused", () => {
  const live = new Member(new World(randomFrom(1)).page(new Realm("page"), new Map()).env, "http://x/events", {});
  for (const wrong of ["", "*", "a*", "a b", "nitro.x", undefined, null, 7]) assert.throws(() => live.presence(wrong as string, () => {}), TypeError, String(wrong));
});

test("who closes what was refused is still told why, and not again that it is closed", () => {
  const { world, run } = worldOf();
  const { live } = pageIn(world, "page", [], ["secret.1"]);
  const told: [string, number | undefined][] = [];
  live.onstate = (state, error) => told.push([state, error?.status]);
  run(1);
  assert.deepEqual(told, [["closed", 403]]);
  live.close();
  run(1);
  assert.deepEqual([told.length, live.state, live.error?.status], [1, "closed", 403]);
});

test("what is no pattern is refused", () => {
  for (const wrong of ["presence.*", "presence.a*", "", ".", "a..b", "a.", "a b", "<b>", "ä", "a".repeat(256), null, 7, "a\n"]) {
    assert.throws(() => checked(wrong as string), TypeError, String(wrong));
  }
  for (const right of ["*", "presence.a", "presence*", "a.b", "__proto__", "user.*", "a:b-c_d"]) assert.equal(checked(right), right);
});

test("positions are compared as numbers of one log", () => {
  assert.ok(isKnown("e-9", "e-10"));
  assert.ok(isKnown("e-10", "e-10"));
  assert.ok(!isKnown("e-11", "e-10"));
  assert.ok(!isKnown("f-1", "e-10"));
  assert.ok(!isKnown("e-1", ""));
  assert.ok(isKnown("e-9007199254740992", "e-9007199254740993"));
  assert.ok(!isKnown("e-9007199254740993", "e-9007199254740992"));
  assert.ok(isKnown("e-9.ffffff", "e-10.000000"));
  assert.ok(!isKnown("e-10.000000", "e-9.ffffff"));
});

test("the wait is anything up to a bound that doubles", () => {
  assert.equal(backoff(0, 2000, () => 0.5), 1000);
  assert.equal(backoff(3, 2000, () => 0.5), 8000);
  assert.equal(backoff(40, 2000, () => 0.5), 15_000);
  assert.equal(backoff(5, 2000, () => 0), 0);
});

test("what comes in pieces is parsed as another parser does", () => {
  const random = randomFrom(15);
  const pick = <T>(all: T[]): T => all[Math.floor(random() * all.length)]!;
  const words = ["data", "data:", "data: ", "event: x", "id: ", "id", ": comment", "retry: 5", "a", ":", " ", "é", "\n", "\n\n", "\r\n", "\r"];
  for (let run = 0; run < 20_000; run++) {
    const text = Array.from({ length: 2 + Math.floor(random() * 14) }, () => pick(words)).join("") + "x\n\n";
    const [ours, theirs]: string[][] = [[], []];
    const feed = parser((type, data) => ours!.push(JSON.stringify([type, data])));
    const other = createParser({ onEvent: ({ event = "message", data }) => theirs!.push(JSON.stringify([event, data])) });
    for (let place = 0; place < text.length; ) {
      const end = place + 1 + Math.floor(random() * 6);
      feed(text.slice(place, end));
      place = end;
    }
    other.feed(text);
    assert.deepEqual(ours, theirs, JSON.stringify(text));
  }
});

test("an id holds until the next one, also that of a block without data", () => {
  const heard: string[] = [];
  parser((_, data, id) => heard.push(`${id} ${data}`))("id: 7\n\ndata: a\n\ndata: b\n\nid: 8\0\nid\ndata: c\n\n");
  assert.deepEqual(heard, ["7 a", "7 b", " c"]);
});

/** A world in which it is seen what happens in so many seconds. */
function worldOf(setting: Partial<World>): { world: World; run: (seconds: number) => void } {
  const world = Object.assign(new World(randomFrom(3)), setting);
  const run = (seconds: number) => {
    const until = world.clock.now + seconds * 1000;
    while (world.clock.step(until));
  };
  return { world, run };
}

/** A page, and what it hears. */
function pageIn(world: World, name: string, heard: string[], topics = ["a.1"], storage = new Map<string, any>()) {
  const realm = new Realm(name);
  const { env, tell } = world.page(realm, storage);
  const live = new Member(env, "http://x/events", { topics, worker: "w.js" });
  live.on("*", (_, { topic, id }) => heard.push(`${name} ${topic} ${id}`));
  live.on("gap", ({ reason, resumed_at }) => heard.push(`${name} ${reason} ${resumed_at}`));
  const leave = () => (tell("hide"), world.kill(realm));
  return { realm, live, storage, tell, leave };
}

test("who was robbed of the lead while it slept leads at once when the robber is closed", () => {
  const { world, run } = worldOf({ hasWorkers: false });
  const heard: string[] = [];
  const first = pageIn(world, "first", heard);
  run(2);
  const second = pageIn(world, "second", heard);
  run(2);
  first.realm.isFrozen = true; // and nobody was told
  run(40);
  first.realm.thaw();
  run(6);
  assert.deepEqual([...world.connections].map(({ realm }) => realm.name), ["second"], "it was robbed");
  second.live.close();
  run(1);
  world.emit("a.1");
  run(1);
  assert.deepEqual(heard, ["first a.1 1-1"]);
  first.live.close();
  run(1);
  assert.deepEqual([...world.locks.keys()], []);
});

test("a worker that comes late is told that who called it has left", () => {
  const { world, run } = worldOf({ hasLocks: false, workerStart: 8000 });
  const heard: string[] = [];
  const { live } = pageIn(world, "page", heard);
  run(1);
  live.subscribe("a.2");
  run(6);
  world.emit("a.2");
  run(0.5);
  assert.deepEqual(heard, ["page a.2 1-1"], "it has a line of its own, since the worker does not come");
  live.close();
  run(5);
  assert.equal(world.workers.size, 1, "it has come");
  assert.deepEqual([...world.connections], [], "and reads nothing for who has gone");
});

test("a tab that hears nothing knows where it stands while others hear much, whatever becomes of who told it", () => {
  for (const setting of [{}, { hasWorkers: false }]) {
    const { world, run } = worldOf(setting);
    const heard: string[] = [];
    const leader = pageIn(world, "leader", [], ["b.1"]);
    run(1);
    const quiet = pageIn(world, "quiet", heard);
    pageIn(world, "busy", [], ["b.1"]);
    const places: string[] = [];
    quiet.live.on("nitro.position", (position) => places.push(position));
    for (let n = 0; n < 60; n++) {
      world.emit("b.1"); // of which the log keeps twelve
      run(2);
    }
    assert.ok(isKnown("1-50", places.at(-1)!), `it is told of ${places}`);
    quiet.live.subscribe("a.2");
    run(1);
    for (const { realm } of world.workers.size ? [...world.workers.values()] : [leader]) world.kill(realm);
    world.emit("a.1");
    run(10);
    assert.deepEqual(heard, ["quiet a.1 1-61"], "and of no gap");
    quiet.tell("hide");
    const [{ last }] = quiet.storage.values();
    assert.ok(isKnown("1-61", last), last);
  }
});

test("a tab whose place is gone is told of a gap, and no other one is", () => {
  const { world, run } = worldOf({});
  const heard: string[] = [];
  const old = pageIn(world, "old", heard, ["b.1"]);
  run(1);
  const all: string[] = [];
  pageIn(world, "busy", all, ["b.1"]);
  run(1);
  world.emit("b.1");
  run(1);
  old.tell("hide"); // into the browser's cache of pages
  run(5);
  for (let n = 0; n < 300; n++) {
    world.emit("b.1"); // of which the log keeps twelve, and the line 256
    run(0.1);
  }
  old.tell("show");
  for (let n = 0; n < 40; n++) {
    world.emit("b.1");
    run(0.01);
  }
  run(5);
  assert.deepEqual(all, Array.from({ length: 341 }, (_, n) => `busy b.1 1-${n + 1}`));
  assert.deepEqual(heard.filter((each) => !each.includes("b.1")).map((each) => each.split(" ")[1]), ["expired"]);
});

test("where the browser forbids channels, as with all cookies blocked, a page has a stream of its own", () => {
  const { world, run } = worldOf({ hasWorkers: false });
  let opened = 0;
  const channel = () => {
    opened++;
    throw new Error("The operation is insecure.");
  };
  const live = new Member({ ...world.page(new Realm("page"), new Map()).env, channel }, "http://x/events", { topics: ["a.1"] });
  run(2);
  assert.deepEqual([live.state, opened, world.connections.size], ["open", 1, 1]);
  live.close();
  assert.deepEqual([world.connections.size, world.locks.size], [0, 0]);
});

test("a page that says where it starts leaves its own place to the next one, and not that of the page before", () => {
  for (const isLoadedAhead of [false, true]) {
    const { world, run } = worldOf({});
    const heard: string[] = [];
    const storage = new Map<string, any>();
    const first = pageIn(world, "first", [], ["a.1"], storage);
    run(1);
    world.emit("a.1");
    run(1);
    if (!isLoadedAhead) first.leave();
    const realm = new Realm("second");
    const { env, tell } = world.page(realm, storage);
    let start = () => {};
    const on: typeof env.on = (what, act) => (what === "start" && isLoadedAhead ? ((start = act), () => {}) : env.on(what, act));
    new Member({ ...env, on }, "http://x/events", { topics: ["a.1"], worker: "w.js", since: "1-1" });
    if (isLoadedAhead) first.leave();
    start();
    run(200);
    for (let n = 0; n < 3; n++) world.emit("a.1");
    run(1);
    tell("hide");
    world.kill(realm);
    pageIn(world, "third", heard, ["a.1"], storage);
    run(3);
    assert.deepEqual(heard, [], "all of it was heard");
  }
});

test("a page that was loaded ahead begins where the page before was when it left", () => {
  const { world, run } = worldOf({});
  const storage = new Map<string, any>();
  const heard: string[] = [];
  const before = pageIn(world, "before", [], ["a.1"], storage);
  run(1);
  const { env } = world.page(new Realm("ahead"), storage);
  let start = () => {};
  const on: typeof env.on = (what, act) => (what === "start" ? ((start = act), () => {}) : env.on(what, act));
  const live = new Member({ ...env, on }, "http://x/events", { topics: ["a.1"], worker: "w.js" });
  live.on("*", (_, { id }) => heard.push(id));
  run(30);
  world.emit("a.1");
  run(1);
  before.leave();
  world.emit("a.1");
  run(1);
  start();
  run(2);
  assert.deepEqual(heard, ["1-2"]);
});

test("only a string says for whom a stream is shared: with anything else nobody hears another user's events", () => {
  for (const share of [true, undefined, null, 7, {}]) {
    const { world, run } = worldOf({});
    const heard: string[] = [];
    const open = (name: string) => {
      const { env } = world.page(new Realm(name), new Map());
      new Member(env, "http://x/events", { worker: "w.js", share: share as boolean }).on("*", (_, { topic }) => heard.push(`${name} ${topic}`));
      run(2);
    };
    open("ann's");
    world.cookie = "bob";
    open("bob's");
    for (const topic of ["ann.1", "bob.1"]) world.emit(topic);
    run(1);
    assert.deepEqual(heard, ["bob's bob.1"], JSON.stringify(share));
  }
});

test("why it can't even be asked for is told", async () => {
  const asked = { url: "http://x/events", credentials: "same-origin" as RequestCredentials, headers: {} };
  const failureOf = (wrong: object) => new Promise<Failure | undefined>((end) => read({ ...asked, ...wrong }, { event: assert.fail, end }));
  assert.match((await failureOf({ url: "http://ann:secret@x/events" }))!.message, /credentials/);
  assert.match((await failureOf({ credentials: "always" }))!.message, /always/);
});

test("a page that waits for its first topic hears it from then on, and right after a reload from where the page before was", () => {
  for (const [seconds, isLate] of [[1, false], [120, true]] as const) {
    const { world, run } = worldOf({});
    const heard: string[] = [];
    const storage = new Map<string, any>();
    const before = pageIn(world, "before", [], [], storage);
    before.live.subscribe("a.1");
    run(1);
    world.emit("a.1");
    run(1);
    before.leave();
    const page = pageIn(world, "page", heard, [], storage);
    run(seconds);
    world.emit("b.1");
    page.live.subscribe("b.1");
    run(2);
    assert.deepEqual(heard, isLate ? [] : ["page b.1 1-2"]);
    page.live.unsubscribe("b.1");
    page.leave();
    assert.equal(storage.size, 0, "it stands nowhere");
  }
});

test("headers that a page does not give in time are none, also to a run: it asks again", async () => {
  const { world, run } = worldOf({});
  const { env } = world.page(new Realm("page"), new Map());
  let asked = 0;
  const { state, close } = followIn(env, "http://x/run", { headers: () => (asked++ ? {} : new Promise(() => {})) });
  assert.equal(state, "connecting");
  for (let n = 0; n < 20; n++) {
    run(1);
    for (let m = 0; m < 6; m++) await null;
  }
  assert.deepEqual([asked, world.requests], [2, 1]);
  close();
});

test("what is no place in a run is its beginning", () => {
  const { world } = worldOf({});
  const { env } = world.page(new Realm("page"), new Map());
  const begins = (lastEventId: unknown) => {
    const { lastEventId: begun, close } = followIn(env, "http://x/run", { lastEventId: lastEventId as string });
    close();
    return begun;
  };
  for (const wrong of ["null", "undefined", "5", "", "0".repeat(15), "0000000000000A", "00000000000001.2", null, 5]) assert.equal(begins(wrong), "", String(wrong));
  for (const right of ["00000000000001", "0000000000000a.00002f"]) assert.equal(begins(right), right);
});

interface Todo {
  id: number;
  title: string;
  rank: number | null;
}

const SNAPSHOT = { start: { headers: { control: "snapshot-start" } }, end: { headers: { control: "snapshot-end" } } };
const put = (id: number, title: string, rank: number | null = null, operation = "insert") => ({
  type: "todo", key: `${id}`, value: { id, title, rank }, headers: { operation },
});
const gone = (id: number) => ({ type: "todo", key: `${id}`, headers: { operation: "delete" } });

/** A collection on streams whose events the test says. */
function rowsOf(options: CollectionOptions<Todo> = {}) {
  const opened: { since: string; isClosed: boolean; live: Live; handlers: Map<string, (...heard: any[]) => void> }[] = [];
  const reported: unknown[] = [];
  const heard: Change<Todo>[][] = [];
  const todos = new Rows<Todo>((since) => {
    const handlers = new Map<string, (...heard: any[]) => void>();
    const live = {
      state: "connecting", error: null, onstate: null,
      on: (pattern: string, handler: () => void) => handlers.set(pattern, handler),
      close() {
        stream.isClosed = true;
        say("closed");
      },
    } as unknown as Live;
    const stream = { since, isClosed: false, live, handlers };
    const say = (state: Live["state"], error: Live["error"] = null) => {
      Object.assign(live, { state, error });
      live.onstate?.(state, error);
    };
    opened.push(stream);
    return live;
  }, options, (error) => reported.push(error));
  todos.onchange = (_, changes) => heard.push(changes);
  const now = () => opened.at(-1)!;
  return {
    todos, opened, reported, heard,
    tell: (id: string, ...told: object[]) => now().handlers.get("*")!(told, { topic: "todo", id }),
    at: (id: string) => now().handlers.get("nitro.position")!(id),
    gap: () => now().handlers.get("gap")!({ reason: "epoch", resumed_at: "f-1" }),
    be: (state: Live["state"], error: Live["error"] = null) => {
      const { live } = now();
      Object.assign(live, { state, error });
      live.onstate?.(state, error);
    },
    titles: () => todos.rows.map(({ title }) => title).join(),
  };
}

/** Whether it has resolved or been rejected, as far as can be known now. */
const settled = async (promise: Promise<void>): Promise<string> => {
  let found = "pending";
  promise.then(() => (found = "resolved"), ({ message }) => (found = message));
  for (let n = 0; n < 5; n++) await null;
  return found;
};

test("a collection has rows when all of a snapshot have come, and tells of them once", async () => {
  const { todos, tell, be, heard, titles, opened } = rowsOf();
  assert.deepEqual([opened[0]!.since, todos.state, titles(), todos.position], ["snapshot-0", "loading", "", ""]);
  be("open");
  tell("snapshot-0", SNAPSHOT.start, put(2, "two"));
  tell("snapshot-0", put(1, "one"));
  assert.deepEqual([todos.state, titles(), await settled(todos.ready)], ["loading", "", "pending"]);
  tell("e-7", put(3, "three"), SNAPSHOT.end);
  assert.deepEqual([todos.state, titles(), await settled(todos.ready)], ["live", "two,one,three", "resolved"]);
  assert.deepEqual([todos.size, todos.position, todos.get(1), todos.get("9")], [3, "e-7", { id: 1, title: "one", rank: null }, undefined]);
  assert.deepEqual(heard.map((changes) => changes.map(({ operation, key }) => `${operation} ${key}`)), [["insert 2", "insert 1", "insert 3"]]);
});

test("an empty snapshot is told, too, and one that changes nothing is not", () => {
  const { tell, heard, todos } = rowsOf();
  const { rows } = todos;
  tell("e-1", SNAPSHOT.start, SNAPSHOT.end);
  tell("e-2", { headers: { control: "reset" } }, SNAPSHOT.start, SNAPSHOT.end);
  assert.deepEqual([heard, todos.position, todos.rows], [[[]], "e-2", rows]);
  assert.equal(todos.rows, rows);
});

test("one commit is told once, and what is told twice is told once", () => {
  const { todos, tell, heard } = rowsOf({ key: "id" });
  tell("e-1", SNAPSHOT.start, put(1, "one"), put(2, "two"), SNAPSHOT.end);
  const [first, second] = todos.rows;
  tell("e-2", put(2, "zwei", null, "update"), gone(1), put(3, "drei"));
  tell("e-3", put(2, "zwei", null, "update"), gone(1), gone(9));
  assert.equal(heard.length, 2);
  assert.deepEqual(heard[1], [
    { operation: "update", key: 2, value: { id: 2, title: "zwei", rank: null }, previous: second },
    { operation: "delete", key: 1, value: undefined, previous: first },
    { operation: "insert", key: 3, value: { id: 3, title: "drei", rank: null }, previous: undefined },
  ]);
  tell("e-4", put(5, "an update of what is not there", null, "update"), put(2, "an insert of what is there"));
  assert.deepEqual(heard[2]!.map(({ operation, key }) => `${operation} ${key}`), ["insert 5", "update 2"]);
});

test("a row is found by the attribute that is its key, also where the server has other text for it", () => {
  for (const [key, found, missed] of [["id", [1, "2"], ["red", "Color.RED", 3]], ["title", ["red", "blue"], [1, "Color.RED"]], [undefined, ["Color.RED", "2"], [1, "red"]]] as const) {
    const { todos, tell } = rowsOf(key && { key });
    tell("e-1", SNAPSHOT.start, { ...put(1, "red"), key: "Color.RED" }, put(2, "blue"), SNAPSHOT.end);
    assert.deepEqual(found.map((each) => todos.get(each)?.id), [1, 2], key);
    for (const each of missed) assert.equal(todos.get(each), undefined, `${key} ${each}`);
  }
});

test("the rows are the same array, and the same objects, as long as they have not changed", () => {
  const { todos, tell } = rowsOf();
  tell("e-1", SNAPSHOT.start, put(1, "one"), put(2, "two"), SNAPSHOT.end);
  const { rows } = todos;
  assert.ok(Object.isFrozen(rows));
  assert.equal(todos.rows, rows);
  tell("e-2", put(1, "one", null, "update"));
  assert.equal(todos.rows, rows);
  tell("e-3", { headers: { control: "reset" } }, SNAPSHOT.start, put(1, "one"), put(2, "zwei"), SNAPSHOT.end);
  assert.notEqual(todos.rows, rows);
  assert.equal(todos.rows[0], rows[0]);
  assert.deepEqual(rows.map(({ title }) => title), ["one", "two"], "an array that was handed out does not change");
});

test("rows of before are kept until others have come, and are swapped at once", () => {
  const { todos, tell, heard, titles } = rowsOf();
  tell("e-5", SNAPSHOT.start, put(1, "one"), put(2, "two"), SNAPSHOT.end);
  tell("snapshot-0", { headers: { control: "reset" } }, SNAPSHOT.start, put(3, "three"));
  tell("snapshot-0", { headers: { control: "reset" } }, SNAPSHOT.start, put(2, "zwei"));
  assert.deepEqual([titles(), todos.position, heard.length], ["one,two", "e-5", 1]);
  tell("f-1", put(4, "four"), SNAPSHOT.end);
  assert.deepEqual([titles(), todos.position], ["zwei,four", "f-1"]);
  assert.deepEqual(heard[1]!.map(({ operation, key }) => `${operation} ${key}`), ["delete 1", "update 2", "insert 4"]);
});

test("another order of the same rows is told, without changes", () => {
  const { tell, heard, titles } = rowsOf();
  tell("e-1", SNAPSHOT.start, put(1, "one"), put(2, "two"), SNAPSHOT.end);
  tell("e-1", SNAPSHOT.start, put(2, "two"), put(1, "one"), SNAPSHOT.end);
  assert.deepEqual([titles(), heard.length, heard[1]], ["two,one", 2, []]);
});

test("rows are sorted by attributes, by several of them, or by a function", () => {
  const all = [put(1, "b", 2), put(2, "a", 1), put(3, "c", null), put(4, "a", 3)];
  const sorted = (sort: CollectionOptions<Todo>["sort"]) => {
    const { tell, todos } = rowsOf({ sort: sort! });
    tell("e-1", SNAPSHOT.start, ...all, SNAPSHOT.end);
    return todos.rows.map(({ id }) => id).join("");
  };
  assert.equal(sorted("title"), "2413");
  assert.equal(sorted("rank"), "3214");
  assert.equal(sorted("-rank"), "4123");
  assert.equal(sorted(["title", "-rank"]), "4213");
  assert.equal(sorted((a, b) => b.id - a.id), "4321");
  const { tell, todos } = rowsOf({ sort: "-id" });
  tell("e-1", SNAPSHOT.start, ...all, SNAPSHOT.end);
  tell("e-2", put(9, "z"), gone(4));
  assert.equal(todos.rows.map(({ id }) => id).join(""), "9321");
});

test("its state is told to who has subscribed, and one listener's error stops nobody", () => {
  const { todos, tell, be, reported } = rowsOf();
  const told: string[] = [];
  const end = todos.subscribe((rows, changes) => told.push(`${todos.state} ${rows.length} ${changes.length}`));
  todos.subscribe(() => {
    throw new Error("a listener's");
  });
  be("open");
  tell("e-1", SNAPSHOT.start, put(1, "one"), SNAPSHOT.end);
  be("open");
  be("waiting", { message: "no network" });
  assert.equal(todos.error!.message, "no network");
  be("connecting");
  be("open");
  assert.deepEqual(told, ["live 1 1", "waiting 1 0", "waiting 1 0", "live 1 0"]);
  assert.equal(reported.length, 4);
  end();
  todos.onchange = () => {
    throw new Error("its own");
  };
  tell("e-2", gone(1));
  assert.deepEqual([told.length, reported.length, todos.size], [4, 6, 0]);
});

test("after a gap all rows are read anew, and those of before are shown until then", () => {
  const { todos, tell, gap, be, opened, titles } = rowsOf();
  const states: string[] = [];
  todos.subscribe(() => states.push(todos.state));
  be("open");
  tell("e-5", SNAPSHOT.start, put(1, "one"), SNAPSHOT.end);
  const [before] = opened;
  gap();
  assert.deepEqual(opened.map(({ since, isClosed }) => [since, isClosed]), [["snapshot-0", true], ["snapshot-1", false]]);
  before!.handlers.get("*")!([gone(1)], { topic: "todo", id: "e-6" });
  assert.equal(titles(), "one");
  be("open");
  tell("snapshot-0", { headers: { control: "reset" } }, SNAPSHOT.start);
  assert.deepEqual([todos.state, states], ["waiting", ["live", "waiting"]], "they may be wrong");
  tell("f-1", { headers: { control: "reset" } }, SNAPSHOT.start, put(2, "two"), SNAPSHOT.end);
  assert.deepEqual([titles(), todos.state], ["two", "live"]);
});

test("a collection of what is no live query is closed with the remedy, and stops nobody who reads it well", async () => {
  for (const setting of [{}, { hasWorkers: false }, { hasWorkers: false, hasLocks: false }]) {
    for (const isShared of [false, true]) {
      const { world, run } = worldOf(setting);
      const heard: string[] = [];
      const open = (since?: string) =>
        new Member(world.page(new Realm("page"), new Map()).env, "http://x/events", { worker: "w.js", ...(since && { since }) });
      const beside = isShared ? open() : null;
      beside?.on("*", (_, { id }) => heard.push(id));
      beside?.on("gap", ({ reason }) => heard.push(reason));
      run(2);
      const todos = new Rows(open, {}, assert.fail);
      todos.subscribe(() => heard.push(todos.state));
      world.emit("a.1");
      run(4);
      world.emit("a.1");
      run(60);
      assert.match(todos.error!.message, /X\.live/);
      assert.match(await settled(todos.ready), /X\.live/);
      assert.deepEqual(heard.sort(), isShared ? ["1-1", "1-2", "closed"] : ["closed"]);
      assert.ok(world.requests < 8, `${world.requests} requests`);
      assert.equal(beside?.state ?? "open", "open");
    }
  }
});

test("a live query whose rows are HTML has none for a collection", () => {
  const { todos, opened } = rowsOf();
  opened[0]!.handlers.get("*")!("<ul></ul>", { topic: "todo", id: "e-1" });
  assert.deepEqual([todos.state, opened[0]!.isClosed], ["closed", true]);
  assert.match(todos.error!.message, /JSON/);
});

test("rights that change before there are rows are no reason to give up", () => {
  const { todos, opened } = rowsOf();
  opened[0]!.handlers.get("gap")!({ reason: "rights", resumed_at: "snapshot-0" });
  assert.deepEqual([todos.state, opened.length, opened[1]!.since], ["loading", 2, "snapshot-1"]);
});

test("what is no row is not taken for one", () => {
  const { todos, tell, opened, titles } = rowsOf();
  tell("e-1", SNAPSHOT.start, put(1, "one"), SNAPSHOT.end);
  const hear = opened[0]!.handlers.get("*")!;
  hear({ hello: "you" }, { topic: "", id: "" });
  hear([gone(1)], { topic: "", id: "" });
  hear("todo", { topic: "todo", id: "e-2" });
  assert.deepEqual([titles(), todos.position], ["one", "e-1"]);
});

test("a position is reached when what was written by then is in the rows", async () => {
  const { todos, tell, at } = rowsOf();
  const early = todos.reached("e-4.abcdef");
  tell("snapshot-0", SNAPSHOT.start);
  at("e-9.123456"); // as no server does: it is not up to there before all rows are
  assert.equal(await settled(early), "pending");
  tell("e-4.abcdef", put(1, "one"), SNAPSHOT.end);
  assert.deepEqual([await settled(early), await settled(todos.reached("e-3"))], ["resolved", "resolved"]);
  const [bare, stamped] = [todos.reached("e-10"), todos.reached("e-11.ffffff")];
  tell("e-10.000000", put(2, "two"));
  assert.deepEqual([await settled(bare), await settled(stamped)], ["resolved", "pending"]);
  at("e-12.000000");
  assert.deepEqual([await settled(stamped), todos.position], ["resolved", "e-12.000000"]);
  for (const nothing of [null, undefined, ""]) assert.equal(await settled(todos.reached(nothing)), "resolved");
  for (const wrong of ["todo", "e-", "-3", "e-1.2.3", "e 1-2"]) assert.match(await settled(todos.reached(wrong)), /no position/);
});

test("a position of a log that was lost is reached with the rows that were read after it", async () => {
  const { todos, tell, opened } = rowsOf();
  tell("e-4", SNAPSHOT.start, SNAPSHOT.end);
  const lost = todos.reached("e-9");
  tell("snapshot-0", { headers: { control: "reset" } }, SNAPSHOT.start);
  assert.equal(await settled(lost), "pending");
  tell("f-1", SNAPSHOT.end);
  assert.deepEqual([await settled(lost), await settled(todos.reached("e-99"))], ["resolved", "resolved"]);
  assert.equal(opened.length, 1);
});

test("for a position of a log that it does not know all rows are read anew", async () => {
  const { todos, tell, opened } = rowsOf();
  const early = todos.reached("d-3");
  assert.equal(opened.length, 1, "its rows are on their way, and may be of that log");
  tell("e-4", SNAPSHOT.start, SNAPSHOT.end);
  assert.deepEqual([opened.length, opened[1]!.since, await settled(early)], [2, "snapshot-1", "pending"]);
  tell("e-4", SNAPSHOT.start, SNAPSHOT.end);
  assert.equal(await settled(early), "resolved");
  const newer = todos.reached("f-7");
  assert.equal(opened.length, 3);
  tell("f-6", SNAPSHOT.start, SNAPSHOT.end);
  assert.equal(await settled(newer), "pending", "now it knows the log");
  tell("f-7", put(1, "one"));
  assert.deepEqual([await settled(newer), opened.length], ["resolved", 3]);
});

test("who waits for a collection that is closed is told so", async () => {
  const { todos, be, opened } = rowsOf();
  const waits = todos.reached("e-1");
  be("closed", { status: 403, message: "You may not hear this." });
  assert.deepEqual([await settled(waits), await settled(todos.ready), todos.state], ["You may not hear this.", "You may not hear this.", "closed"]);
  assert.match(await settled(todos.reached("e-1")), /closed/);
  const other = rowsOf();
  const rows = other.todos.reached("e-1");
  const { close } = other.todos;
  close();
  assert.match(await settled(rows), /closed/);
  assert.deepEqual([other.todos.state, other.opened[0]!.isClosed, opened.length], ["closed", true, 1]);
});

test("a tab that comes when parts of the rows are not kept any more has all of them read anew", () => {
  const { world, run } = worldOf({});
  const open = (name: string) =>
    new Rows<{ id: string }>((since) => new Member(world.page(new Realm(name), new Map()).env, "http://x/rows", { worker: "w.js", since }), {}, assert.fail);
  for (let n = 0; n < 40; n++) world.write([[`row ${n}`, 2]]);
  const first = open("first");
  run(2);
  open("second");
  run(2);
  assert.equal(first.size, 40);
  assert.equal(world.requests, 2, "the stream and a probe: the rows of the first were given to the second");
  for (let n = 0; n < 255; n++) world.write([["row 0", 2 * n]]);
  run(2);
  const third = open("third");
  run(2);
  assert.deepEqual([third.size, third.get("row 0"), first.size], [40, { id: "row 0", n: 508 }, 40]);
  assert.equal(world.connections.size, 1);
});

test("a member that was greeted elsewhere while its host was not heard is who it says that it is", () => {
  const { world, run } = worldOf({});
  const { env } = world.page(new Realm("page"), new Map());
  const host = new Host(env, { url: "http://x/events", credentials: "same-origin", hasHeaders: false, isTrusted: false }, "host");
  const told: ToMember[] = [];
  const join = (turn: number, user: string) =>
    host.hear("member", (news) => told.push(news), { do: "join", turn, topics: ["a.1"], last: "", user, isOfPageBefore: false });
  join(1, "");
  run(1);
  assert.deepEqual(told.filter(({ is }) => is === "user"), [{ is: "user", user: "uann" }]);
  join(2, "ubob");
  run(1);
  assert.deepEqual(told.at(-1), { is: "state", state: "closed", failure: failed(419) });
  run(5);
  assert.equal(world.connections.size, 0, "nobody reads what is another user's");
});

test("who looks again while its topics are asked for is not told that it is open, or what is emitted then would be lost", () => {
  for (let seed = 1; seed < 60; seed++) {
    const world = Object.assign(new World(randomFrom(seed)), { hasRoom: true });
    const { env } = world.page(new Realm("page"), new Map());
    const host = new Host(env, { url: "http://x/events", credentials: "same-origin", hasHeaders: false, isTrusted: false }, "host");
    const told: ToMember[] = [];
    const join = (name: string, turn: number, topics: string[], tell: (news: ToMember) => void) =>
      host.hear(name, tell, { do: "join", turn, topics, last: "", user: "", isOfPageBefore: false });
    let isOpen = false;
    join("first", 1, ["a.1"], (news) => (isOpen ||= news.is === "state" && news.state === "open"));
    world.clock.step(0.5);
    const look = (turn: number) => join("second", turn, ["b.1", "presence.r"], (news) => told.push(news));
    look(1);
    while (!isOpen && world.clock.step(2000));
    host.hear("first", () => {}, { do: "leave", isForGood: false });
    const asked = world.requests;
    while (world.requests === asked && world.clock.step(world.clock.now + 300));
    const before = told.length;
    look(2);
    const isTold = told.slice(before).some((news) => news.is === "state" && news.state === "open");
    world.emit("b.1");
    const until = world.clock.now + 3000;
    while (world.clock.step(until));
    assert.ok(!isTold || told.some((news) => news.is === "gap" || (news.is === "message" && news.topic === "b.1")), `seed ${seed}`);
    host.end();
  }
});

test("in worlds full of faults each collection has the rows that the database had at its position", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const { problems } = await exploreRows(seed);
    assert.deepEqual(problems, [], `npm run explore -- --rows --trace ${seed}`);
  }
});

test("in worlds full of faults each page sees who is in the room", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const { problems } = await explore(seed, { hasRoom: true });
    assert.deepEqual(problems, [], `npm run explore -- --rooms --trace ${seed}`);
  }
});

test("in worlds full of faults who follows a run has each item once and in order, and then the end", async () => {
  for (let seed = 1; seed <= 400; seed++) {
    const { problems } = await exploreRuns(seed);
    assert.deepEqual(problems, [], `npm run explore -- --followers --trace ${seed}`);
  }
});
