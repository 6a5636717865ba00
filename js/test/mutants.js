// Faults that the client once had or could have, each with the seed of a world that catches it: npm run mutants.
// When world.ts or explore.ts draw anew, `node test/mutants.js --find NAME` prints the first seed that does, for all whose name has NAME in it.

import { build } from "esbuild";
import { fileURLToPath } from "node:url";

import { edited } from "./edits.js";

const MOST_SEEDS = 200_000;

/** `text` stands in `src/file` once, and `by` is there instead. */
const MUTANTS = [
  {
    name: "a line is read on from where the stream stands, and not from where its members do",
    file: "line.ts",
    text: `if (member.last && !member.isAsleep) ids.push(member.last); // and not where the attempt before began: it may have been another's log
    }`,
    by: `if (!last && member.last) ids.push(member.last);
    }
    if (last) ids.push(last);`,
    seed: 31,
  },
  {
    name: "a member that joins twice is not told again for whom it is",
    file: "host.ts",
    text: `if (member.user && !member.isOfPageBefore) tell({ is: "user", user: member.user });`,
    by: "",
    setting: { way: "leader", changesUsers: true, decides: true },
    seed: 10387,
  },
  {
    name: "the place is kept by one listener, which Firefox may break off",
    file: "live.ts",
    text: `on("hide", () => this.#leave()), // where Firefox ends`,
    by: "// where Firefox ends",
    seed: 86,
  },
  {
    name: "of two members that stand in two logs, the place of the later one is kept for both",
    file: "live.ts",
    text: `isOneLog(own, other) ? other : NO_LOG`,
    by: `isOneLog(own, other) ? other : own`,
    seed: 100618858,
  },
  {
    name: "of two members that stand in two logs, the place of the first one is kept for both",
    file: "live.ts",
    text: `isOneLog(own, other) ? other : NO_LOG`,
    by: `other`,
    seed: 107972432,
  },
  {
    name: "what was refused ends who has dropped it meanwhile",
    file: "host.ts",
    text: `isAskedAgain() || this.#expel(member, failure)`,
    by: `this.#expel(member, failure)`,
    seed: 100855058,
  },
  {
    name: "who joins a line that is read already needs no proof",
    file: "host.ts",
    text: "return (!line.hasBegun && !(hasHeaders && line.readers.size)) || (isTrusted && line.covers(topics));",
    by: "return !(hasHeaders && line.readers.size) || (isTrusted && line.covers(topics));",
    seed: 938,
  },
  {
    name: "a greeting for another user is taken for one's own",
    file: "host.ts",
    text: `else if (member.user.startsWith("u")) {`,
    by: "else if (!member.user) {",
    seed: 34,
  },
  {
    name: "news of an earlier join are heard",
    file: "live.ts",
    text: "else if (!this.#isJoined || (",
    by: "else if ((",
    setting: { way: "leader" },
    seed: 75044,
  },
  {
    name: "who joins with a place is not given what came since",
    file: "line.ts",
    text: "if (member.last) for (const message of this.#recent.slice(had + 1)) this.#give(member, message);",
    by: "",
    seed: 12,
  },
  {
    name: "another log is no gap",
    file: "line.ts",
    text: "!isOneLog(id, member.last) && { reason",
    by: "false && { reason",
    seed: 163,
  },
  {
    name: "who hears nothing is not told where it stands while others hear something",
    file: "line.ts",
    text: "if (!member.isWaiting) this.#place(member, isKnown(id, member.last) ? member.last : id);",
    by: "if (!member.isWaiting && !isKnown(id, member.last)) this.#place(member, id);",
    seed: 18,
  },
  {
    name: "a gap behind where one stood is told to all who stand further on, too",
    file: "line.ts",
    text: "isOneLog(id, last) && !isKnown(last, this.#stream.last)",
    by: "false",
    seed: 16,
  },
  {
    name: "a stream on which nothing comes is never let go of",
    file: "stream.ts",
    text: "const isSilent = now - this.#heardAt >= limit;",
    by: "const isSilent = false;",
    seed: 14,
  },
  {
    name: "a tab that leads and doesn't answer is not replaced",
    file: "route.ts",
    text: "lost.replace!();",
    by: "",
    seed: 3,
  },
  {
    name: "a worker that doesn't answer is waited for, for ever",
    file: "route.ts",
    text: "else lose(way, false);",
    by: `else if (way?.kind !== "worker") lose(way, false);`,
    seed: 45,
  },
  {
    name: "a line without members is read on",
    file: "line.ts",
    text: `if (!this.readers.size) this.end();
      else if`,
    by: "if",
    seed: 12,
  },
  {
    name: "a line whose last member was closed is kept for those who come back",
    file: "host.ts",
    text: "this.#line.remove(member, isForGood);",
    by: "this.#line.remove(member, false);",
    seed: 172,
  },
  {
    name: "the lock of the tab that leads is not given up at close",
    file: "ways.ts",
    text: `candidacy();
      channel.close();`,
    by: "channel.close();",
    seed: 1,
  },
  {
    name: "a question for the host outlives close",
    file: "route.ts",
    text: `close() {
      timer();`,
    by: "close() {",
    seed: 1,
  },
  {
    name: "a listener outlives close",
    file: "live.ts",
    text: "for (const undo of this.#undo.splice(0)) undo();",
    by: "",
    seed: 1,
  },
  {
    name: "the refusal of one closes all",
    file: "host.ts",
    text: "if (members.length > 1) return line.again();",
    by: "",
    seed: 1365,
  },
  {
    name: "who was asleep does not join again when it wakes",
    file: "host.ts",
    text: "if (member.isAsleep && member.unconfirmed < CONFIRM_EACH) this.#join(name, tell, { ...member, do: \"join\", turn: 0, last: request.last }, member);",
    by: "",
    seed: 50,
  },
  {
    name: "who stands in a line that is read from its beginning is told of a gap",
    file: "line.ts",
    text: `if (state === "open" && last && member.last`,
    by: `if (state === "open" && member.last`,
    seed: 52149,
  },
  {
    name: "parts of rows that were read anew are given to who has had them, and more",
    file: "line.ts",
    text: "this.#recent.slice(had + 1)",
    by: "this.#recent",
    world: "rows",
    seed: 8,
  },
  {
    name: "who has no rows is given what came since, also where that is not all rows",
    file: "line.ts",
    text: "? !isIncomplete(this.#since)",
    by: "? false",
    world: "rows",
    seed: 2,
  },
  {
    name: "a line is read from where the newest stands, and not from the beginning for who has no rows",
    file: "line.ts",
    text: "if (isIncomplete(id) || (isOneLog(id, newest)",
    by: "if ((isOneLog(id, newest)",
    world: "rows",
    seed: 1,
  },
  {
    name: "the second part of all rows is taken for known",
    file: "position.ts",
    text: "epoch(id) === epoch(last) && !isIncomplete(id) &&",
    by: "epoch(id) === epoch(last) &&",
    world: "rows",
    seed: 1,
  },
  {
    name: "who has a part of the rows is told of a gap",
    file: "position.ts",
    text: "epoch(a) === epoch(b) || isIncomplete(a) || isIncomplete(b);",
    by: "epoch(a) === epoch(b);",
    world: "rows",
    seed: 5,
  },
  {
    name: "rows are shown before they are whole",
    file: "rows.ts",
    text: `if (control === "snapshot-start") this.#next = new Map();`,
    by: `if (control === "snapshot-start") this.#all = this.#next = new Map();`,
    world: "rows",
    seed: 1,
  },
  {
    name: "after a gap the rows are not read anew",
    file: "rows.ts",
    text: `live.on("gap", own(({ reason }) => (this.#isWrong && reason !== "rights" ? this.#refuse() : this.#open(WRONG_ROWS))));`,
    by: "",
    world: "rows",
    seed: 22,
  },
  {
    name: "rows that are read anew for a position of another log are those that were read before",
    file: "rows.ts",
    text: "if (asks) this.#open(WRONG_ROWS);",
    by: "if (asks) this.#open(NO_ROWS);",
    world: "rows",
    seed: 176,
  },
  {
    name: "a position of a log that it does not know is waited for",
    file: "rows.ts",
    text: "if (asks) this.#open(WRONG_ROWS);",
    by: "",
    world: "rows",
    seed: 69,
  },
  {
    name: "a position is not heard of without rows",
    file: "live.ts",
    text: "if (this.#stand(news.id)) this.#call((pattern) => pattern === POSITION, (handler) => (handler as (position: string) => void)(news.id));",
    by: "this.#stand(news.id);",
    world: "rows",
    seed: 42,
  },
  {
    name: "who joins later is not told who is in the room",
    file: "line.ts",
    text: `for (const [topic, room] of this.#rooms) this.#give(member, { topic, text: JSON.stringify(room), id: "" });`,
    by: "",
    setting: { hasRoom: true },
    seed: 1,
  },
  {
    name: "a room that is told anew keeps those who were in it",
    file: "rooms.ts",
    text: "members ??= (joined ?? updated ?? left) && (before?.members ?? []);",
    by: "members = (members ?? joined ?? updated ?? left) && [...(before?.members ?? []), ...(members ?? [])];",
    setting: { hasRoom: true },
    seed: 50,
  },
  {
    name: "a crowd is taken for an empty change",
    file: "rooms.ts",
    text: "(joined ?? updated ?? left) && (before?.members ?? [])",
    by: "before?.members ?? []",
    setting: { hasRoom: true },
    seed: 24,
  },
  {
    name: "a page that looks twice is told once",
    file: "live.ts",
    text: "this.#join(); // it is told who is there",
    by: "this.subscribe();",
    setting: { hasRoom: true, decides: false },
    seed: 8,
  },
  {
    name: "a star hears who is in a room",
    file: "topics.ts",
    text: "if (topic.startsWith(PRESENCE)) return false;",
    by: "",
    setting: { hasRoom: true },
    seed: 1,
  },
  {
    name: "an item of a run that comes again is given again",
    file: "runs.ts",
    text: "} else if (stream.last > run.lastEventId) {",
    by: "} else {",
    world: "runs",
    seed: 5,
  },
  {
    name: "what is no place in a run is taken for one",
    file: "runs.ts",
    text: `PLACE.test(begins) ? begins : ""`,
    by: "begins",
    world: "runs",
    seed: 1,
  },
  {
    name: "who has had the end of a run comes back",
    file: "runs.ts",
    text: `end();
        tried`,
    by: "tried",
    world: "runs",
    seed: 1,
  },
  {
    name: "a run that was there before and is gone is asked for, for ever",
    file: "runs.ts",
    text: `if (state === "waiting" && failure?.status === 404) return end(failure);`,
    by: "",
    world: "runs",
    seed: 9,
  },
  {
    name: "who follows a run is not told of what was refused",
    file: "runs.ts",
    text: `if (state === "closed" && failure) tried(env, () => options.onerror?.(failure));`,
    by: "",
    world: "runs",
    seed: 1,
  },
  {
    name: "an error of a page that follows a run ends what reads it",
    file: "runs.ts",
    text: "tried(env, () => options.onitem?.(parse(text), stream.last));",
    by: "options.onitem?.(parse(text), stream.last);",
    world: "runs",
    seed: 1,
  },
  {
    name: "a run that has ended leaves listeners",
    file: "runs.ts",
    text: "for (const undo of undos.splice(0)) undo();",
    by: "",
    world: "runs",
    seed: 1,
  },
  {
    name: "headers that a page could not give end what follows",
    file: "stream.ts",
    text: "if (!more) return this.#dropped();",
    by: "if (!more) return;",
    world: "runs",
    seed: 1,
  },
];

/** Where a world of its kind is explored; topics if a mutant names none. */
const EXPLORERS = { topics: ["explore.ts", "explore"], rows: ["rows.ts", "exploreRows"], runs: ["runs.ts", "exploreRuns"] };

/** What is wrong in a world of the client as it is, or of a mutant of it: an error of its own, too; empty if nothing is. */
async function judgeOf(world = "topics", ...edits) {
  const [file, name] = EXPLORERS[world];
  const { outputFiles } = await build({
    absWorkingDir: fileURLToPath(new URL("..", import.meta.url)),
    entryPoints: [`test/${file}`],
    bundle: true,
    format: "esm",
    platform: "node",
    target: "es2022",
    logLevel: "error",
    write: false,
    plugins: [edited(...edits)],
  });
  const { [name]: explore } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
  const options = world === "topics" ? (setting) => [setting] : () => [];
  return (seed, setting) => explore(seed, ...options(setting)).then(({ problems }) => problems[0] ?? "", String);
}

async function check() {
  const judges = new Map();
  for (const world of Object.keys(EXPLORERS)) judges.set(world, await judgeOf(world));
  for (const mutant of MUTANTS) {
    const { name, seed, setting, world = "topics" } = mutant;
    const without = await judges.get(world)(seed, setting);
    const wrong = await (await judgeOf(world, mutant))(seed, setting);
    if (without || !wrong) process.exitCode = 1;
    if (without) console.log(`seed ${seed} fails without a mutant: ${without}`);
    console.log(wrong ? `caught: ${name}: ${wrong}` : `NOT CAUGHT by seed ${seed}: ${name}`);
  }
}

async function find(mutant) {
  const [judge, judgeMutant] = [await judgeOf(mutant.world), await judgeOf(mutant.world, mutant)];
  for (let seed = 1; seed <= MOST_SEEDS; seed++) {
    const wrong = await judgeMutant(seed, mutant.setting);
    if (wrong && !(await judge(seed, mutant.setting))) return console.log(`${mutant.name}: seed ${seed}: ${wrong}`);
  }
  process.exitCode = 1;
  console.log(`${mutant.name}: no seed up to ${MOST_SEEDS}`);
}

const place = process.argv.indexOf("--find");
if (place < 0) await check();
else {
  const name = process.argv[place + 1];
  const meant = MUTANTS.filter((mutant) => name !== undefined && mutant.name.includes(name));
  if (!meant.length) {
    process.exitCode = 2;
    console.error(`--find ${name ?? ""}: no mutant's name has that in it`);
  }
  for (const mutant of meant) await find(mutant);
}
