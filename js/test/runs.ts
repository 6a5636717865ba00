// One run of a server's: pages follow it through a world full of faults, to its end.
//
// Each has all items once and in order, then the end, once, and asks for nothing behind it; or is told that the run is gone.

import { type End, followIn, type Run } from "../src/runs.js";
import type { Sink } from "../src/transports.js";
import type { Verdict } from "./explore.js";
import { randomFrom, Realm, World } from "./world.js";

interface Reader {
  sink: Sink;
  realm: Realm;
  place: number;
  due: number;
  isSilent: boolean;
  isOver: boolean;
}

interface Follower {
  name: string;
  realm: Realm;
  run: Run;
  begins: number;
  items: number[];
  ends: End[];
  failures: (number | undefined)[];
  requests: number;
  isClosed: boolean;
}

const STORM = 60_000;
const QUIET = 120_000;
const ANSWERS = ["streams", "streams", "streams", "hangs", "nothing", 503, 429, 200] as const;
/** What pages have in place of an id, where there is none. */
const NO_PLACES = ["", "null", "undefined", "5"];
const idOf = (place: number) => (place ? place.toString(16).padStart(14, "0") : "");

export async function exploreRuns(seed: number, trace?: (line: string) => void): Promise<Verdict> {
  const random = randomFrom(seed);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)]!;
  const chance = (share: number) => random() < share;
  const world = new World(random);
  const { clock, problems } = world;
  const readers = new Set<Reader>();
  const followers: Follower[] = [];
  let [length, steps, heard] = [0, 0, 0];
  let end: End | null = null;
  let isGone = false;
  let answer: (typeof ANSWERS)[number] = "streams";
  const say = trace && ((line: string) => trace(`${(clock.now / 1000).toFixed(3)} ${line}`));
  const wrong = (line: string) => {
    say?.(`WRONG ${line}`);
    problems.push(`${(clock.now / 1000).toFixed(2)} ${line}`);
  };

  const later = (reader: Reader, act: () => void) => {
    reader.due = Math.max(clock.now + random() * 4, reader.due);
    clock.after(reader.due - clock.now, () => reader.realm.run(() => reader.isOver || reader.isSilent || act()));
  };
  const control = (reader: Reader, fields: object) => {
    const id = idOf(reader.place);
    later(reader, () => reader.sink.event("message", `nitro.stream\n${JSON.stringify(fields)}`, id));
  };
  const hangUp = (reader: Reader) => {
    readers.delete(reader);
    later(reader, () => reader.sink.end());
  };
  const serve = (reader: Reader) => {
    while (reader.place < length) {
      const [n, id] = [reader.place, idOf(++reader.place)];
      later(reader, () => reader.sink.event("message", `{"n":${n}}`, id));
    }
    if (!end) return;
    const [text, id] = [JSON.stringify(end), idOf(reader.place)];
    later(reader, () => reader.sink.event("end", text, id));
    if (chance(0.8)) control(reader, { stop: true });
    hangUp(reader);
  };
  const beat = () => {
    for (const reader of readers) control(reader, {});
    clock.after(15_000, beat);
  };
  beat();

  const open = () => {
    const realm = new Realm(`page ${followers.length}`);
    const { env } = world.page(realm, new Map());
    const begins = chance(0.2) ? Math.floor(random() * length) : 0;
    const read = (request: { url: string }, sink: Sink) => {
      const last = new URL(request.url).searchParams.get("last_event_id");
      const place = chance(0.1) || !/^[\da-f]{14}$/.test(last ?? "") ? 0 : parseInt(last!, 16); // something on the way may drop it
      const reader: Reader = { sink, realm, place, due: 0, isSilent: false, isOver: false };
      follower.requests++;
      clock.after(1 + random() * 20, () => {
        if (answer === "hangs" || reader.isOver) return;
        if (answer === "nothing") return later(reader, () => sink.end());
        const status = isGone ? 404 : answer;
        if (status !== "streams") return later(reader, () => sink.end({ status, message: "" }));
        readers.add(reader);
        control(reader, { retry: 2000, heartbeat: 15 });
        serve(reader);
      });
      return () => {
        reader.isOver = true;
        readers.delete(reader);
      };
    };
    const follower: Follower = { name: `f${followers.length}`, realm, run: null!, begins, items: [], ends: [], failures: [], requests: 0, isClosed: false };
    const { name, items, ends, failures } = follower;
    const own = (what: string) => {
      if (ends.length || failures.length || follower.isClosed) wrong(`${name} is told of ${what} behind its end`);
      say?.(`${name} ${what}`);
    };
    follower.run = followIn({ ...env, read, report: () => {} }, "http://x/run", {
      lastEventId: idOf(begins) || NO_PLACES[followers.length % NO_PLACES.length]!,
      headers: () => (chance(0.1) ? Promise.reject(new Error("no token")) : {}),
      onitem({ n }, id) {
        own(`item ${n}`);
        if (n !== begins + items.length || id !== idOf(n + 1)) wrong(`${name} gets ${n} as ${id}, and has ${items.length} behind ${begins}`);
        items.push(n);
        heard++;
        if (chance(0.1)) throw new Error("the page's own");
      },
      onend(told) {
        own(`end ${told.state}`);
        ends.push(told);
        throw new Error("the page's own");
      },
      onerror({ status }) {
        own(`error ${status}`);
        failures.push(status);
      },
      onstate: (state, error) => say?.(`${name} is ${state} ${error?.status ?? ""}`),
    });
    followers.push(follower);
  };

  const cut = () => {
    for (const reader of [...readers]) {
      if (chance(0.5)) hangUp(reader);
      else reader.isSilent = true;
    }
  };
  const grow = () => {
    if (end) return;
    length += 1 + Math.floor(random() * 5);
    for (const reader of [...readers]) serve(reader);
  };
  const finish = () => {
    end ??= { state: pick(["done", "failed", "cancelled", "lost"] as const) };
    for (const reader of [...readers]) serve(reader);
  };
  const close = () => {
    const { run, ...follower } = pick(followers);
    if (follower.ends.length || follower.failures.length) return;
    followers.find((each) => each.run === run)!.isClosed = true;
    run.close();
  };
  const freeze = () => {
    const { realm } = pick(followers);
    if (realm.isFrozen) return;
    realm.isFrozen = true;
    clock.after(random() * 30_000, () => realm.thaw());
  };
  const look = () => {
    for (const act of [...(pick(followers).realm.listeners.get("look") ?? [])]) act();
  };
  const acts = [grow, grow, grow, grow, cut, () => (answer = pick(ANSWERS)), () => (answer = "streams"), open, freeze, look];

  open();
  const until = async (time: number) => {
    while (clock.step(time)) {
      steps++;
      for (let n = 0; n < 4; n++) await null; // headers are promised
    }
  };
  while (clock.now < STORM) {
    pick(acts)();
    if (chance(0.01)) close();
    if (chance(0.01)) finish();
    await until(clock.now + random() * 1500);
  }
  answer = "streams";
  finish();
  if (chance(0.1)) isGone = true;
  await until(clock.now + QUIET);
  const asked = followers.map(({ requests }) => requests);
  await until(clock.now + QUIET);
  for (const [n, { name, realm, run, begins, items, ends, failures, requests, isClosed }] of followers.entries()) {
    const isMissing = isGone && failures[0] === 404;
    if (run.state !== "closed") wrong(`${name} is ${run.state}`);
    if (requests !== asked[n]) wrong(`${name} asks behind its end`);
    if (isClosed || failures[0] === 200) continue;
    if (isMissing ? failures.length !== 1 : ends.length !== 1 || failures.length) wrong(`${name} has ${ends.length} ends, and errors ${failures.join()}`);
    if (!isMissing && (begins + items.length !== length || ends[0]!.state !== end!.state)) wrong(`${name} has ${items.length} items behind ${begins} of ${length}`);
    if (realm.timers.size) wrong(`${name} has ${realm.timers.size} timers left`);
    if ([...realm.listeners.values()].some(({ size }) => size)) wrong(`${name} has listeners left`);
  }
  return { problems, steps, heard, requests: followers.reduce((all, { requests }) => all + requests, 0) };
}
