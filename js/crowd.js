// 2,000 clients of a server that is away for five seconds: when do they come back? Draws docs/images/crowd.svg.
import { build } from "esbuild";
import { writeFile } from "node:fs/promises";

const bundled = await build({ entryPoints: ["src/backoff.ts"], bundle: true, format: "esm", write: false });
const { backoff } = await import(`data:text/javascript;base64,${Buffer.from(bundled.outputFiles[0].contents).toString("base64")}`);

const [CLIENTS, AWAY, RETRY, SECONDS, STEP] = [2000, 5, 2, 30, 0.25];
const PITCH = (640 / SECONDS) * STEP;
let seed = 7; // the plot is the same each time
const random = () => ((seed = (seed * 1664525 + 1013904223) % 2 ** 32) / 2 ** 32);

/** How many arrive in each step after the server is back, where `wait(attempt)` is in seconds. */
function arrivals(wait) {
  const counts = new Array(SECONDS / STEP).fill(0);
  for (let client = 0; client < CLIENTS; client++) {
    let now = 0;
    for (let attempt = 0; now < AWAY; attempt++) now += wait(attempt);
    counts[Math.min(Math.floor((now - AWAY) / STEP), counts.length - 1)]++;
  }
  return counts;
}

const fixed = arrivals(() => RETRY);
const ours = arrivals((attempt) => backoff(attempt, RETRY * 1000, random) / 1000);
const busiest = (counts) => Math.max(...counts);
const bars = (counts, top, color) =>
  counts
    .map((count, n) => {
      const height = count && Math.max(1, (count / busiest(counts)) * 110);
      return `<rect x="${(60 + n * PITCH).toFixed(1)}" y="${(top + 110 - height).toFixed(1)}" width="${(PITCH - 1).toFixed(1)}" height="${height.toFixed(1)}" fill="${color}"/>`;
    })
    .join("");
const axis = (top) =>
  [0, 5, 10, 15, 20, 25, 30].map((s) => `<text x="${(60 + (s / STEP) * PITCH).toFixed(1)}" y="${top + 126}" text-anchor="middle">${s} s</text>`).join("");
const panel = (title, counts, top, color) =>
  `<text x="60" y="${top - 10}" class="title">${title}: at most ${busiest(counts)} in ${STEP} s</text>${bars(counts, top, color)}` +
  `<path d="M60 ${top + 110.5}H700" stroke="#8a938d"/>${axis(top)}`;

await writeFile(
  "../docs/images/crowd.svg",
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 340" font-family="system-ui, sans-serif" font-size="12">` +
    `<style>text{fill:#5f6862}.title{font-size:13px;font-weight:600;fill:#191c1a}</style><rect width="740" height="340" fill="#fff"/>` +
    panel("A fixed wait of 2 s", fixed, 40, "#b3261e") +
    panel("This client", ours, 200, "#0a6a45") +
    `</svg>\n`,
);
console.log(JSON.stringify({ fixed: busiest(fixed), ours: busiest(ours), seconds: ours.findLastIndex((count) => count) * STEP }));
