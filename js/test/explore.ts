// One run: tabs that come and go in a world full of faults, and then quiet. What each heard is judged at the end.
//
// Each member hears what it asked for, once, in order, or is told of a gap; knows how far it has everything; hears nothing that
// is another user's; nobody stays without a stream in the quiet; nothing is held by those who closed.

import { type Live, Member, type Options } from "../src/live.js";
import { isKnown, isOneLog } from "../src/position.js";
import { type Random, NO_TOKEN, randomFrom, PUBLIC, Realm, ROOM, World } from "./world.js";

const LONGEST_STORM = 40_000;
/** Everybody has to be well again after this. Most are much sooner, and are judged then. */
const QUIET = 75_000;
const SHORT_QUIET = 16_000; // more than a heartbeat
/**
 * So long after an event who leads may close because of it, and leave the lead to a tab that sleeps. Most hear it sooner. A leader is
 * asked each ten seconds: twice, if three took the lead in one moment, and the one that was heard of last doesn't have it.
 */
const TAKEN_OVER_WITHIN = 21_000;
const SOON = 5000;
const USERS = ["ann", "bob"];
const FORBIDDEN = "secret.1";
const IN_ROOM = `presence.${ROOM}`;

type Way = "worker" | "leader" | "alone";

interface Tab {
  realm: Realm;
  storage: Map<string, object>;
  tell: (what: string) => void;
  watched: Watched[];
  env: ReturnType<World["page"]>["env"];
  user: string;
  isCached: boolean;
  /** Frozen, and not looked at again. */
  isForgotten: boolean;
  /** It was frozen once: what it hears late, it may be told again. */
  hasSlept: boolean;
}

/** A member, and what the judge knows of it. */
interface Watched {
  live: Live;
  tab: Tab;
  options: Options;
  name: string;
  /** Who was logged in from when it was made until it was greeted, and whose events it heard. */
  possible: Set<string>;
  wasOpen: boolean;
  isClosed: boolean;
  closesAsItHears: boolean;
  heard: [topic: string, id: string][];
  /** Where it stands, by what it has heard. */
  at: string;
  /** How far it knows that it has everything: there, or further. */
  knows: string;
  /** By topic: behind which position everything has to be heard. */
  owed: Map<string, string>;
  hasAskedForbidden: boolean;
  /** What ends its watches of the room, each with what it saw there last. */
  watches: { end: () => void; seen: string }[];
}

export interface Verdict {
  problems: string[];
  steps: number;
  heard: number;
  requests: number;
}

/** What a seed stands for; a field that is given is not drawn. */
export interface Setting {
  way?: Way;
  hasHeaders?: boolean;
  changesUsers?: boolean;
  decides?: boolean;
  /** There is a room, and who is there is told. */
  hasRoom?: boolean;
}

export async function explore(seed: number, setting: Setting = {}, trace?: (line: string) => void): Promise<Verdict> {
  const random = randomFrom(seed);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)]!;
  const chance = (share: number) => random() < share;
  const world = new World(random);
  const way = setting.way ?? pick<Way>(["worker", "worker", "leader", "alone"]);
  const hasHeaders = setting.hasHeaders ?? chance(0.2);
  world.hasWorkers = way === "worker";
  world.hasLocks = way === "leader" || (way === "worker" && chance(0.8));
  const changesUsers = setting.changesUsers ?? chance(0.3);
  const forgets = chance(0.4);
  const decides = setting.decides ?? chance(0.2); // the server does, what is heard
  world.hasRoom = setting.hasRoom ?? false;
  const trusts = chance(0.15); // pages say for whom they share
  const storm = LONGEST_STORM * (0.2 + 0.8 * random());
  const isPatient = chance(0.2); // it waits for the long quiet in any case
  const tabs: Tab[] = [];
  const all: Watched[] = [];
  const { problems, clock } = world;
  let heardInAll = 0;
  let isQuiet = false;
  let hostsKnow = way !== "worker" || !world.hasLocks; // who has closed; a worker may hear of the lock before the word
  const say = trace && ((line: string) => trace(`${(clock.now / 1000).toFixed(2)} ${line}`)); // `say?.(…)` makes no text where nobody reads it
  const wrong = (line: string) => {
    problems.push(`${(clock.now / 1000).toFixed(2)} ${line}`);
    say?.(`WRONG ${line}`);
  };
  say?.(JSON.stringify({ way, hasHeaders, changesUsers, forgets, decides, trusts }));
  for (const user of USERS) world.tokens.set(user, `${user}:0`);

  /** Whose a member of this tab may be. Who says for whom it shares, shares with whoever came by that name. */
  const usersOf = (tab: Tab): string[] => (hasHeaders ? [tab.user] : trusts && changesUsers ? USERS : [world.cookie]);
  const connect = (tab: Tab, predecessor?: Watched) => {
    const topics = decides ? ["*"] : predecessor ? [...predecessor.options.topics!] : PUBLIC.filter(() => chance(0.5));
    if (!predecessor && !decides) {
      if (chance(0.4)) topics.push(`${tab.user}.*`);
      if (chance(0.1)) topics.push("a.*");
      if (chance(0.06)) topics.push(FORBIDDEN);
    }
    const options: Options = decides ? { worker: "w.js" } : { topics, worker: "w.js" };
    if (way === "alone") options.share = false;
    else if (trusts) options.share = tab.user;
    if (!predecessor && chance(0.4)) options.since = world.position;
    if (hasHeaders) {
      options.headers = () => {
        if (!isQuiet && chance(0.1)) throw new Error(NO_TOKEN);
        if (!isQuiet && chance(0.05)) return new Promise(() => {});
        return { authorization: !isQuiet && chance(0.1) ? `${tab.user}:stale` : world.tokens.get(tab.user)! };
      };
    }
    const live = new Member(tab.env, "http://x/events", options);
    const watched: Watched = {
      live, tab, options, name: `m${all.length}`, possible: new Set(usersOf(tab)), wasOpen: false, isClosed: false, closesAsItHears: false,
      heard: [], at: "", knows: options.since ?? "", owed: new Map(), hasAskedForbidden: topics.includes(FORBIDDEN),
      watches: [],
    };
    const baseline = options.since ?? (changesUsers ? "" : predecessor?.at);
    const hasTwin = decides && predecessor && predecessor.tab.watched.length > 1; // which keeps its place by the same key
    const had = hasTwin ? [] : predecessor ? topicsOf(predecessor.live) : topics;
    if (baseline) for (const topic of topics) if (had.includes(topic)) {
      const asked = predecessor?.owed.get(topic) ?? ""; // it may have asked for it anew, further on
      watched.owed.set(topic, isKnown(baseline, asked) ? asked : baseline);
    }
    say?.(`${watched.name} connects in ${tab.realm.name} ${JSON.stringify({ topics, since: options.since, after: predecessor?.name })}`);
    live.onstate = (state, error) => {
      say?.(`${watched.name} ${state} ${error ? JSON.stringify(error) : ""}`);
      if (watched.isClosed && state !== "closed") wrong(`${watched.name} lives on after close`);
      if (state === "open") {
        watched.wasOpen = true;
        for (const topic of topicsOf(live)) if (topic !== IN_ROOM && !watched.owed.has(topic)) watched.owed.set(topic, world.position);
      }
    };
    live.on("*", (_, { topic, id }) => {
      say?.(`${watched.name} hears ${topic} ${id}`);
      heardInAll++;
      const last = watched.heard.at(-1)?.[1] ?? "";
      if (watched.isClosed) wrong(`${watched.name} hears after close`);
      if (topic.startsWith("presence.")) return wrong(`a star of ${watched.name} hears ${topic}`);
      if (last && isOneLog(last, id) && place(id) <= place(last)) wrong(`${watched.name} hears ${id} behind ${last}`);
      const [owner] = topic.split(".") as [string];
      if (USERS.includes(owner)) {
        if (!watched.possible.has(owner)) wrong(`${watched.name} hears ${owner}'s, and may be only ${[...watched.possible]}'s`);
        watched.possible = new Set([owner]);
      }
      watched.heard.push([topic, id]);
      watched.at = watched.knows = id;
      if (watched.closesAsItHears) close(watched);
    });
    live.on("gap", (gap) => {
      say?.(`${watched.name} gap ${JSON.stringify(gap)}`);
      const isThere = gap.reason === "expired" ? world.has(watched.knows) : gap.reason === "epoch" && isOneLog(watched.knows, gap.resumed_at);
      if (isThere && !tab.hasSlept) wrong(`${watched.name} is told of a gap, and all is there behind ${watched.knows}, where it stands`);
      watched.at = watched.knows = gap.resumed_at;
      for (const topic of watched.owed.keys()) watched.owed.set(topic, gap.resumed_at);
    });
    live.on("nitro.position", (position) => (watched.knows = position));
    tab.watched.push(watched);
    all.push(watched);
    if (world.hasRoom && chance(0.6)) watch(watched);
  };

  /** One more look at the room. */
  const watch = (watched: Watched) => {
    say?.(`${watched.name} watches the room`);
    const own = { end: () => {}, seen: "" };
    let isOver = false;
    const end = watched.live.presence(ROOM, (members, count) => {
      say?.(`${watched.name} sees ${count}: ${JSON.stringify(members)}`);
      if (isOver || watched.isClosed) wrong(`${watched.name} sees the room after it has looked away`);
      own.seen = JSON.stringify([members, count]);
    });
    own.end = () => {
      isOver = true;
      end();
    };
    watched.watches.push(own);
    const topics = topicsOf(watched.live);
    if (!decides && !topics.includes(IN_ROOM)) changed(watched, [...topics, IN_ROOM]);
  };

  const lookAway = (watched: Watched) => {
    say?.(`${watched.name} looks away from the room`);
    watched.watches.pop()!.end();
    if (!decides && !watched.watches.length) changed(watched, topicsOf(watched.live).filter((topic) => topic !== IN_ROOM));
  };

  const close = (watched: Watched) => {
    say?.(`${watched.name} is closed`);
    watched.live.close();
    watched.isClosed = true;
    watched.tab.watched = watched.tab.watched.filter((other) => other !== watched);
  };

  const load = (storage = new Map<string, object>(), predecessors: Watched[] = []) => {
    const realm = new Realm(`tab${tabs.length}`);
    const { env, tell } = world.page(realm, storage);
    const tab: Tab = { realm, storage, tell, env, watched: [], user: world.cookie, isCached: false, isForgotten: false, hasSlept: false };
    tabs.push(tab);
    if (predecessors.length) for (const one of predecessors) connect(tab, one.live.state === "open" && one.tab.user === tab.user && !one.options.since ? one : undefined);
    else connect(tab);
    if (chance(0.15)) {
      close(tab.watched[0]!); // as StrictMode does
      connect(tab);
    }
  };

  const gone = (tab: Tab) => {
    world.kill(tab.realm);
    hostsKnow &&= world.hasLocks;
    for (const watched of tab.watched) watched.isClosed = true;
  };

  const actions: [weight: number, act: () => void][] = [
    [30, () => {
      const count = chance(0.02) ? 30 : 1 + Math.floor(random() * 3);
      for (let n = 0; n < count; n++) world.emit(pick([...PUBLIC, ...USERS.map((user) => `${user}.1`)]));
      say?.(`emitted up to ${world.position}`);
    }],
    [4, () => living().length < 5 && load()],
    [2, () => living().length && connect(pick(living()))],
    [1, () => { // one who asks for more and more
      const watched = pick(members());
      if (!watched || watched.live.state === "closed" || decides) return;
      say?.(`${watched.name} changes its topics again and again`);
      for (let n = 0; n < 20; n++) clock.after(n * 30, () => {
        if (!watched.tab.realm.isAlive || watched.tab.realm.isFrozen || watched.tab.isCached || watched.isClosed || watched.live.state === "closed") return;
        const own = topicsOf(watched.live);
        const topic = `b.x${n - (n % 2)}`;
        if (n % 2) watched.live.unsubscribe(topic), watched.owed.delete(topic);
        else watched.live.subscribe(topic);
        changed(watched, n % 2 ? own.filter((each) => each !== topic) : [...new Set([...own, topic])]);
      });
    }],
    [3, () => { // reload
      const tab = pick(living());
      if (!tab) return;
      say?.(`${tab.realm.name} is reloaded`);
      tab.tell("hide");
      const { watched } = tab;
      gone(tab);
      clock.after(random() * 500, () => load(tab.storage, watched));
    }],
    [2, () => { // into the browser's cache of pages, and back
      const tab = pick(living());
      if (!tab) return;
      say?.(`${tab.realm.name} goes into the cache`);
      tab.tell("hide");
      tab.realm.isFrozen = tab.isCached = true;
      if (chance(0.5)) world.dropLocks(tab.realm);
      clock.after(random() * 15_000, () => back(tab));
    }],
    [2, () => { // freeze
      const tab = pick(living());
      if (!tab) return;
      say?.(`${tab.realm.name} is frozen`);
      if (chance(0.7)) tab.tell("freeze");
      tab.realm.isFrozen = tab.hasSlept = true;
      tab.isForgotten = chance(0.1);
      clock.after(random() * 30_000, () => thaw(tab));
    }],
    [2, () => {
      const tab = pick(living());
      if (tab) say?.(`${tab.realm.name} crashes`), gone(tab);
    }],
    [2, () => {
      const watched = pick(members());
      if (!watched) return;
      if (chance(0.3)) watched.closesAsItHears = true;
      else close(watched);
    }],
    [5, () => {
      const watched = pick(members());
      if (!watched || watched.live.state === "closed" || decides) return;
      const own = topicsOf(watched.live);
      const topic = chance(0.04) ? FORBIDDEN : pick(PUBLIC);
      if (own.includes(topic)) {
        say?.(`${watched.name} unsubscribes ${topic}`);
        watched.live.unsubscribe(topic);
        watched.owed.delete(topic);
      } else {
        say?.(`${watched.name} subscribes ${topic}`);
        watched.hasAskedForbidden ||= topic === FORBIDDEN;
        watched.live.subscribe(topic);
        if (watched.live.state === "open") watched.owed.set(topic, world.position);
      }
      changed(watched, own.includes(topic) ? own.filter((each) => each !== topic) : [...own, topic]);
    }],
    [2, () => { // a worker that dies or hangs
      const worker = pick([...world.workers.values()]);
      if (!worker) return;
      if (chance(0.7)) say?.("the worker dies"), world.kill(worker.realm);
      else {
        say?.("the worker hangs");
        worker.realm.isFrozen = true;
        hostsKnow = false;
        clock.after(random() * 60_000, () => worker.realm.thaw());
      }
    }],
    [2, () => {
      world.workerStart = pick([5, 5, 5, 3000, 8000, "never", "broken"] as const);
      say?.(`workers start: ${world.workerStart}`);
    }],
    [3, () => {
      world.faults.answer = pick(["streams", 0, 503, "hangs", 404, "html"] as const);
      say?.(`the server answers ${world.faults.answer}`);
      if (world.faults.answer !== "streams") clock.after(random() * 8000, () => (world.faults.answer = "streams"));
    }],
    [3, () => {
      const isSilent = chance(0.4);
      say?.(isSilent ? "all lines die in silence" : "all lines are cut");
      world.cut(isSilent);
    }],
    [3, () => {
      const forgetsNow = forgets && chance(0.5);
      say?.(`the server starts again${forgetsNow ? ", and forgets" : ""}`);
      world.restart(forgetsNow);
    }],
    [changesUsers ? 2 : 0, () => {
      world.cookie = pick(USERS);
      say?.(`${world.cookie} logs in`);
      if (!hasHeaders) for (const { possible, heard } of all) if (!heard.some(([topic]) => USERS.includes(topic.split(".")[0]!))) possible.add(world.cookie);
    }],
    [world.hasRoom ? 12 : 0, () => {
      const user = `u${Math.floor(random() * 6)}`;
      world.attend(user, world.members.has(user) && chance(0.5) ? null : Math.floor(random() * 10), chance(0.2));
      say?.(`in the room: ${JSON.stringify(world.room)}`);
    }],
    [world.hasRoom ? 3 : 0, () => {
      const watched = pick(members());
      if (!watched || watched.live.state === "closed") return;
      if (watched.watches.length && chance(0.5)) lookAway(watched);
      else watch(watched);
    }],
    [hasHeaders ? 2 : 0, () => {
      const user = pick(USERS);
      world.tokens.set(user, `${user}:${clock.now}`);
      say?.(`${user}'s token is renewed`);
    }],
  ];
  const topicsNow = new Map<Live, string[]>();
  const changed = (watched: Watched, topics: string[]) => {
    topicsNow.set(watched.live, topics);
    if (!topics.length) watched.at = watched.knows = ""; // it starts anew with the next one, where the line stands that reads it
  };
  const topicsOf = (live: Live): string[] => topicsNow.get(live) ?? [...(all.find((each) => each.live === live)?.options.topics ?? ["*"])];
  const living = () => tabs.filter(({ realm, isCached }) => realm.isAlive && !realm.isFrozen && !isCached);
  const members = () => living().flatMap(({ watched }) => watched);
  const thaw = (tab: Tab) => {
    if (!tab.realm.isAlive || tab.isCached || tab.isForgotten || !tab.realm.isFrozen) return;
    say?.(`${tab.realm.name} is thawed`);
    tab.realm.thaw();
    tab.tell("look");
  };
  const back = (tab: Tab) => {
    if (!tab.isCached || !tab.realm.isAlive) return;
    say?.(`${tab.realm.name} comes back from the cache`);
    tab.isCached = false;
    tab.realm.thaw();
    tab.tell("show");
  };

  load();
  const weights = actions.reduce((sum, [weight]) => sum + weight, 0);
  const act = () => {
    if (clock.now > storm) return;
    let left = random() * weights;
    for (const [weight, does] of actions) if ((left -= weight) < 0) {
      does();
      break;
    }
    clock.after(random() * random() * 3000, act);
  };
  clock.after(10, act);
  let steps = 0;
  const run = async (until: number) => {
    while (clock.step(until)) {
      if (++steps > 200_000) return wrong("it never comes to rest");
      if (hasHeaders) for (let n = 0; n < 6; n++) await null; // what is answered by a promise
      if (problems.length > 5) return;
    }
  };
  const judgeStates = (found: string[]) => {
    for (const watched of members()) {
      const { live, name } = watched;
      const topics = topicsOf(live);
      const { status } = live.error ?? {};
      if (topics.length === 0 && live.state !== "closed") {
        if (live.state !== "waiting") found.push(`${name} has no topics, and is ${live.state}`);
      } else if (live.state === "closed") {
        const isDue =
          (status === 403 && watched.hasAskedForbidden) || (status === 419 && changesUsers) || (status === 401 && hasHeaders) || status === 404 || status === 200 ||
          (status === 403 && changesUsers) || (status === 422 && topics.length > 4);
        if (!isDue) found.push(`${name} is closed: ${JSON.stringify(live.error)}`);
      } else if (live.state !== "open") found.push(`${name} is ${live.state} in the quiet: ${JSON.stringify(live.error)}`);
    }
  };
  const judgeHeard = (found: string[]) => {
    for (const watched of members()) {
      if (watched.live.state !== "open") continue;
      const ids = new Set(watched.heard.map(([, id]) => id));
      for (const { position, topic } of world.log) {
        for (const [pattern, behind] of watched.owed) {
          const isMeant = pattern === topic || (pattern.endsWith("*") && topic.startsWith(pattern.slice(0, -1)));
          if (!isMeant || !isOneLog(behind, world.position) || place(behind) >= position) continue;
          const [owner] = topic.split(".") as [string];
          if (USERS.includes(owner) && !watched.possible.has(owner)) continue;
          if (!ids.has(`${world.epoch}-${position}`)) found.push(`${watched.name} has not heard ${topic} ${world.epoch}-${position}, owed behind ${behind}`);
        }
      }
      for (const [pattern, behind] of watched.owed) {
        if (!isOneLog(behind, world.position)) found.push(`${watched.name} was told of no gap for ${pattern}: it stands at ${behind} of ${world.position}`);
      }
    }
  };
  /** Also who heard nothing knows that it has everything, as of a heartbeat ago. */
  const judgePlaces = (found: string[], position: string) => {
    for (const { live, name, knows } of members()) {
      const isBehind = knows && !isKnown(position, knows); // it may have begun where the page before stood, and nothing came since
      if (isBehind && live.state === "open") found.push(`${name} knows that it has everything up to ${knows}, and not up to ${position}`);
    }
  };
  const judgeSeen = (found: string[]) => {
    const { members: named = [], count } = world.room as { members?: object[]; count: number };
    const isSo = JSON.stringify([named, count]);
    for (const { live, name, watches } of members()) {
      for (const { seen } of watches) if (live.state === "open" && seen !== isSo) found.push(`${name} sees ${seen || "nothing"} in the room, and not ${isSo}`);
    }
  };
  /** What is wrong after so long a quiet, when one more event of each topic has been emitted. */
  const judge = async (quiet: number, patience: number): Promise<string[]> => {
    const { position } = world;
    await run(storm + quiet);
    const found: string[] = [];
    judgePlaces(found, position); // before something is heard that tells it, too
    for (const topic of [...PUBLIC, ...USERS.map((user) => `${user}.1`)]) world.emit(topic);
    await run(storm + quiet + patience);
    judgeStates(found);
    judgeHeard(found);
    if (world.hasRoom) judgeSeen(found);
    return found;
  };
  await run(storm);
  isQuiet = true;
  say?.("quiet");
  world.faults.answer = "streams";
  world.workerStart = 5;
  for (const tab of tabs) {
    back(tab);
    thaw(tab);
  }
  for (const { realm } of world.workers.values()) realm.thaw();
  if (isPatient || (await judge(SHORT_QUIET, SOON)).length) (await judge(QUIET, TAKEN_OVER_WITHIN)).forEach(wrong);
  for (const tab of tabs) if (tab.isForgotten) gone(tab);
  for (const watched of members()) close(watched);
  await run(clock.now + 1000);
  if (hostsKnow && world.connections.size) wrong("a stream outlives its last member");
  await run(clock.now + 220_000);
  if (world.connections.size) wrong(`${world.connections.size} connections are left`);
  const held = [...world.locks].flatMap(([name, { held, queue }]) => [...held, ...queue].filter(({ realm }) => tabs.some((tab) => tab.realm === realm)).map(() => name));
  if (held.length) wrong(`locks are left: ${held}`);
  for (const { realm } of tabs) if (realm.isAlive && realm.timers.size) wrong(`${realm.name} has ${realm.timers.size} timers left`);
  for (const { realm } of tabs) if (realm.isAlive && [...realm.listeners.values()].some(({ size }) => size)) wrong(`${realm.name} has listeners left`);
  for (const { realm } of world.workers.values()) if (realm.timers.size) wrong(`the worker has ${realm.timers.size} timers left`);
  if (world.channels.size) wrong(`channels are left: ${[...world.channels.keys()]}`);
  return { problems, steps, heard: heardInAll, requests: world.requests };
}

const place = (id: string) => Number(id.slice(id.indexOf("-") + 1));
export type { Random };
