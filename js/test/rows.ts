// One run: tabs with collections that come and go in a world full of faults, and then quiet.
//
// Whenever a collection has rows, they are those that the database had at its position, which never goes back in a log. In the
// quiet they are those that it has now. Who waits for a position goes on when what was written by then is in the rows.

import { Member } from "../src/live.js";
import { isKnown, isOneLog } from "../src/position.js";
import { Rows } from "../src/rows.js";
import { type Verdict } from "./explore.js";
import { type Row, randomFrom, Realm, World } from "./world.js";

interface Tab {
  realm: Realm;
  storage: Map<string, object>;
  env: ReturnType<World["page"]>["env"];
  tell: (what: string) => void;
  collections: Watched[];
  isCached: boolean;
}

interface Watched {
  name: string;
  todos: Rows<Row>;
  last: string;
  waiting: number;
}

const STORM = 30_000;
const QUIET = 120_000;

export async function exploreRows(seed: number, trace?: (line: string) => void): Promise<Verdict> {
  const random = randomFrom(seed);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)]!;
  const chance = (share: number) => random() < share;
  const world = new World(random);
  const { clock, problems } = world;
  const way = pick(["worker", "worker", "leader", "alone"]);
  world.hasWorkers = way === "worker";
  world.hasLocks = way === "leader" || (way === "worker" && chance(0.8));
  const forgets = chance(0.4);
  const tabs: Tab[] = [];
  const versions = new Map<string, { version: number; rows: string }>();
  let [version, steps, heard, count] = [0, 0, 0, 0];
  const say = trace && ((line: string) => trace(`${(clock.now / 1000).toFixed(3)} ${line}`));
  const wrong = (line: string) => {
    say?.(`WRONG ${line}`);
    problems.push(`${(clock.now / 1000).toFixed(2)} ${line}`);
  };
  const asText = (rows: readonly Row[]) => JSON.stringify([...rows].sort((a, b) => (a.id < b.id ? -1 : 1)));
  const remember = () => versions.set(world.position, { version, rows: asText(world.rows) });
  remember();

  const watch = (tab: Tab) => {
    const connect = (since: string) => new Member(tab.env, "http://x/rows", { worker: "w.js", share: way !== "alone", since });
    const watched: Watched = { name: `c${count++}`, todos: new Rows(connect, { sort: "id" }, tab.env.report), last: "", waiting: 0 };
    const { todos, name } = watched;
    let shown: readonly Row[] = todos.rows;
    say?.(`${name} begins in ${tab.realm.name}`);
    todos.ready.then(() => todos.state === "loading" && wrong(`${name} is ready, and loading`), () => {});
    todos.onchange = (rows, told) => {
      say?.(`${name} has ${asText(rows)} at ${todos.position}`);
      heard++;
      const expected = versions.get(todos.position);
      if (asText(rows) !== expected?.rows) wrong(`${name} has ${asText(rows)} at ${todos.position}, where the database had ${expected?.rows}`);
      if (watched.last && isOneLog(todos.position, watched.last) && !isKnown(watched.last, todos.position)) wrong(`${name} goes back from ${watched.last} to ${todos.position}`);
      watched.last = todos.position;
      for (const { previous } of told) if (previous && !shown.includes(previous)) wrong(`${name} had no ${JSON.stringify(previous)}`);
      const untouched = shown.filter((row) => !told.some(({ previous }) => previous === row));
      if (untouched.some((row) => !rows.includes(row))) wrong(`${name} has other objects for rows that have not changed`);
      shown = rows;
    };
    todos.subscribe(() => say?.(`${name} is ${todos.state}`));
    tab.collections.push(watched);
  };

  const load = (storage = new Map<string, object>()) => {
    const realm = new Realm(`tab${tabs.length}`);
    const tab: Tab = { realm, storage, ...world.page(realm, storage), collections: [], isCached: false };
    tabs.push(tab);
    watch(tab);
  };
  const living = () => tabs.filter(({ realm, isCached }) => realm.isAlive && !realm.isFrozen && !isCached);
  const back = (tab: Tab) => {
    if (!tab.isCached || !tab.realm.isAlive) return;
    say?.(`${tab.realm.name} comes back from the cache`);
    tab.isCached = false;
    tab.realm.thaw();
    tab.tell("show");
  };
  const thaw = (tab: Tab) => {
    if (!tab.realm.isAlive || tab.isCached || !tab.realm.isFrozen) return;
    tab.realm.thaw();
    tab.tell("look");
  };
  const onTab = (act: (tab: Tab) => void) => () => {
    const tab = pick(living());
    if (tab) act(tab);
  };
  const write = () => {
    const ids = ["a", "b", "c", "d", "e", "f", "g"];
    world.write(Array.from({ length: 1 + Math.floor(random() * 3) }, () => [ids.splice(Math.floor(random() * ids.length), 1)[0]!, chance(0.3) ? null : Math.floor(random() * 10)]));
    version++;
    remember();
    say?.(`${asText(world.rows)} at ${world.position}`);
  };

  const actions: [weight: number, act: () => void][] = [
    [30, write],
    [4, () => living().length < 5 && load()],
    [2, onTab((tab) => tab.collections.length < 3 && watch(tab))],
    [6, onTab((tab) => {
      const watched = pick(tab.collections);
      if (!watched) return;
      const written = version;
      watched.waiting++;
      say?.(`${watched.name} waits for ${world.position}`);
      watched.todos.reached(world.position).then(() => {
        watched.waiting--;
        const now = versions.get(watched.todos.position)?.version ?? -1;
        if (now < written) wrong(`${watched.name} has reached ${watched.todos.position}, without what was written`);
      }, () => watched.waiting--);
    })],
    [3, onTab((tab) => {
      say?.(`${tab.realm.name} is reloaded`);
      tab.tell("hide");
      world.kill(tab.realm);
      clock.after(random() * 500, () => load(tab.storage));
    })],
    [2, onTab((tab) => {
      say?.(`${tab.realm.name} goes into the cache`);
      tab.tell("hide");
      tab.realm.isFrozen = tab.isCached = true;
      if (chance(0.5)) world.dropLocks(tab.realm);
      clock.after(random() * 15_000, () => back(tab));
    })],
    [2, onTab((tab) => {
      say?.(`${tab.realm.name} is frozen`);
      if (chance(0.7)) tab.tell("freeze");
      tab.realm.isFrozen = true;
      clock.after(random() * 30_000, () => thaw(tab));
    })],
    [2, onTab((tab) => (say?.(`${tab.realm.name} crashes`), world.kill(tab.realm)))],
    [1, onTab((tab) => {
      const watched = tab.collections.shift();
      if (watched) say?.(`${watched.name} is closed`), watched.todos.close();
    })],
    [2, () => {
      const worker = pick([...world.workers.values()]);
      if (!worker) return;
      say?.("the worker dies or hangs");
      if (chance(0.7)) world.kill(worker.realm);
      else {
        worker.realm.isFrozen = true;
        clock.after(random() * 60_000, () => worker.realm.thaw());
      }
    }],
    [2, () => (world.workerStart = pick([5, 5, 5, 3000, 8000, "never", "broken"] as const))],
    [3, () => {
      world.faults.answer = pick(["streams", 0, 503, "hangs"] as const);
      say?.(`the server answers ${world.faults.answer}`);
      if (world.faults.answer !== "streams") clock.after(random() * 8000, () => (world.faults.answer = "streams"));
    }],
    [4, () => (say?.("all lines are cut"), world.cut(chance(0.3)))],
    [3, () => {
      say?.("the server starts again");
      world.restart(forgets && chance(0.5));
      remember();
    }],
    [3, () => (say?.("all rows are read again"), world.readAgain())],
  ];
  const weights = actions.reduce((sum, [weight]) => sum + weight, 0);
  const act = () => {
    if (clock.now > STORM) return;
    let left = random() * weights;
    actions.find(([weight]) => (left -= weight) < 0)![1]();
    clock.after(random() * random() * 2000, act);
  };
  const run = async (until: number) => {
    while (problems.length < 6 && clock.step(until)) {
      steps++;
      for (let n = 0; n < 3; n++) await null;
    }
  };

  write();
  load();
  clock.after(10, act);
  await run(STORM);
  world.faults.answer = "streams";
  world.workerStart = 5;
  for (const tab of tabs) back(tab), thaw(tab);
  for (const { realm } of world.workers.values()) realm.thaw();
  say?.("quiet");
  await run(STORM + QUIET);
  for (const { name, todos, waiting } of living().flatMap(({ collections }) => collections)) {
    if (todos.state !== "live") wrong(`${name} is ${todos.state} in the quiet: ${JSON.stringify(todos.error)}`);
    if (asText(todos.rows) !== asText(world.rows)) wrong(`${name} has ${asText(todos.rows)} at ${todos.position}, and the database has ${asText(world.rows)} at ${world.position}`);
    if (waiting) wrong(`${name} waits on, at ${todos.position}`);
  }
  if (way !== "alone" && world.connections.size > 1) wrong(`${world.connections.size} connections`);
  for (const { collections } of living()) for (const { todos } of collections) todos.close();
  await run(clock.now + 300_000);
  if (world.connections.size) wrong(`${world.connections.size} connections are left`);
  return { problems, steps, heard, requests: world.requests };
}
