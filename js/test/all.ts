// What needs no browser; everything else is tests/test_browser_client.py.

import assert from "node:assert/strict";
import test from "node:test";

import { createParser } from "eventsource-parser";

import { backoff } from "../src/backoff.js";
import { Member } from "../src/live.js";
import { parser } from "../src/parser.js";
import { isKnown } from "../src/position.js";
import { checked, matches } from "../src/topics.js";
import { randomFrom, Realm, World } from "./world.js";

test("patterns match as on the server", () => {
  const yes = ["a a", "* a.b", "todo.* todo.a.b", "*.created a.created", "order-* order-7", "t*e*d todo.created", "** ab"];
  const no = ["a b", "todo.* todo.", "todo.* todo", "*.created .created", "a*a a", "ab*ba aba", "** a", "t*e*d ted"];
  for (const pair of yes) assert.ok(matches(...(pair.split(" ") as [string, string])), pair);
  for (const pair of no) assert.ok(!matches(...(pair.split(" ") as [string, string])), pair);
});

test("what is no pattern is refused", () => {
  for (const wrong of ["", ".", "a..b", "a.", "a b", "<b>", "ä", "a".repeat(256), null, 7, "a\n"]) {
    assert.throws(() => checked(wrong as string), TypeError, String(wrong));
  }
  for (const right of ["*", "a.b", "__proto__", "user.*", "a:b-c_d"]) assert.equal(checked(right), right);
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

function pageIn(world: World, name: string, heard: string[]): { realm: Realm; live: Member } {
  const realm = new Realm(name);
  const live = new Member(world.page(realm, new Map()).env, "http://x/events", { topics: ["a.1"], worker: "w.js" });
  live.on("*", (_, { topic, id }) => heard.push(`${name} ${topic} ${id}`));
  return { realm, live };
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
