// npm run explore -- --runs 100000 --from 1 [--threads 2] [--rooms | --rows | --followers], or -- --trace SEED for all that happens in one of them
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { availableParallelism } from "node:os";

import { explore } from "./explore.js";
import { exploreRows } from "./rows.js";
import { exploreRuns } from "./runs.js";

const value = (name: string, otherwise: number) => {
  const place = process.argv.indexOf(`--${name}`);
  const text = place < 0 ? `${otherwise}` : (process.argv[place + 1] ?? "");
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  console.error(`--${name} needs a whole number from 1 to 999999999, and has "${text}"`);
  return process.exit(2);
};

interface Part {
  from: number;
  runs: number;
  kind: Kind;
}

type Trace = (line: string) => void;

/** Worlds of topics, of these with a room, of collections, and of those who follow a run. */
const EXPLORERS = {
  topics: (seed: number, trace?: Trace) => explore(seed, {}, trace),
  rooms: (seed: number, trace?: Trace) => explore(seed, { hasRoom: true }, trace),
  rows: exploreRows,
  followers: exploreRuns,
};
type Kind = keyof typeof EXPLORERS;
const kind = (Object.keys(EXPLORERS) as Kind[]).find((name) => process.argv.includes(`--${name}`)) ?? "topics";

async function runs({ from, runs, kind }: Part): Promise<{ steps: number; heard: number; failed: [number, string[]][] }> {
  const failed: [number, string[]][] = [];
  let [steps, heard] = [0, 0];
  for (let seed = from; seed < from + runs && failed.length < 20; seed++) {
    const verdict = await EXPLORERS[kind](seed);
    steps += verdict.steps;
    heard += verdict.heard;
    if (verdict.problems.length) failed.push([seed, verdict.problems]);
  }
  return { steps, heard, failed };
}

if (!isMainThread) {
  parentPort!.postMessage(await runs(workerData as Part));
} else if (process.argv.includes("--trace")) {
  const { problems } = await EXPLORERS[kind](value("trace", 1), console.log);
  console.log(problems.join("\n") || "nothing wrong");
} else {
  const [from, total] = [value("from", 1), value("runs", 1000)];
  const count = Math.min(availableParallelism(), value("threads", 64), total);
  const size = Math.ceil(total / count);
  const began = performance.now();
  const parts = await Promise.all(
    Array.from({ length: count }, (_, n) => {
      const part: Part = { from: from + n * size, runs: Math.min(size, total - n * size), kind };
      const worker = new Worker(new URL(import.meta.url), { workerData: part, resourceLimits: { maxYoungGenerationSizeMb: 64 } });
      return new Promise<Awaited<ReturnType<typeof runs>>>((resolve, reject) => worker.on("message", resolve).on("error", reject));
    }),
  );
  const failed = parts.flatMap((part) => part.failed);
  const sum = (what: "steps" | "heard") => parts.reduce((all, part) => all + part[what], 0);
  const seconds = (performance.now() - began) / 1000;
  console.log(`${total} runs, ${sum("steps")} steps, ${sum("heard")} messages heard, ${failed.length} failed, ${seconds.toFixed(1)} s`);
  for (const [seed, problems] of failed.slice(0, 12)) console.log(`seed ${seed}: ${problems.slice(0, 2).map((each) => each.slice(0, 300)).join("\n    ")}`);
  process.exitCode = failed.length ? 1 : 0;
}
