// 2,000 clients of a server that is away for five seconds: when do they come back? Draws docs/images/crowd.svg.
import { build } from "esbuild";
import { writeFile } from "node:fs/promises";

const bundled = await build({ entryPoints: ["src/backoff.ts"], bundle: true, format: "esm", write: false });
const { backoff } = await import(`data:text/javascript;base64,${Buffer.from(bundled.outputFiles[0].contents).toString("base64")}`);

const [CLIENTS, AWAY, RETRY, SECONDS, STEP] = [2000, 5, 2, 30, 0.25];
const [LEFT, WIDTH, HEIGHT] = [28, 484, 110];
const PITCH = (WIDTH / SECONDS) * STEP;
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
const bars = (counts, top, kind) =>
  counts
    .map((count, n) => [n, count && Math.max(1.5, (count / busiest(counts)) * HEIGHT)])
    .filter(([, height]) => height)
    .map(([n, height]) => {
      const [x, y] = [LEFT + n * PITCH, top + HEIGHT - height];
      return `<rect class="${kind}" x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${(PITCH - 0.8).toFixed(1)}" height="${height.toFixed(1)}"/>`;
    })
    .join("");
const axis = (top) =>
  [0, 10, 20, 30]
    .map((s) => {
      const side = s === 0 ? "" : s === SECONDS ? " end" : " mid";
      return `<text class="quiet${side}" x="${(LEFT + (s / STEP) * PITCH).toFixed(1)}" y="${top + HEIGHT + 28}">${s} s</text>`;
    })
    .join("");
const panel = (title, counts, top, kind) =>
  `<text class="strong" x="${LEFT}" y="${top - 50}">${title}</text><text class="quiet" x="${LEFT}" y="${top - 22}">at most ${busiest(counts)} in ${STEP} s</text>\n` +
  `${bars(counts, top, kind)}\n<path class="rule" d="M${LEFT} ${top + HEIGHT + 0.5}H${LEFT + WIDTH}"/>${axis(top)}\n`;

// The colours are those of docs/images/concepts.
const style = `text{font:500 20px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;fill:#1a2420}
.strong{font-weight:700}.quiet{fill:#55625a}.mid{text-anchor:middle}.end{text-anchor:end}
.panel{fill:#f5f8f6;stroke:#d5ded8;stroke-width:1.5}.rule{fill:none;stroke:#b4c0b8;stroke-width:1.5}.ours{fill:#0b7a50}.fixed{fill:#a86200}
@media (prefers-color-scheme:dark){
text{fill:#e4ebe7}.quiet{fill:#a5b3ab}.panel{fill:#151c18;stroke:#2d3832}.rule{stroke:#46524b}.ours{fill:#3cc08c}.fixed{fill:#e0a13a}
}`;
const told = `${CLIENTS} clients of a server that is back after ${AWAY} s. With a fixed wait of ${RETRY} s at most ${busiest(fixed)} come within ${STEP} s, with this client at most ${busiest(ours)}.`;

await writeFile(
  "../docs/images/crowd.svg",
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 540 500" width="460" height="426" role="img" aria-labelledby="title desc">\n` +
    `<title id="title">When clients come back</title>\n<desc id="desc">${told}</desc>\n<style>\n${style}\n</style>\n` +
    `<rect class="panel" x="1" y="1" width="538" height="498" rx="16"/>\n` +
    panel(`A fixed wait of ${RETRY} s`, fixed, 102, "fixed") +
    panel("This client", ours, 330, "ours") +
    `</svg>\n`,
);
console.log(JSON.stringify({ fixed: busiest(fixed), ours: busiest(ours), seconds: ours.findLastIndex((count) => count) * STEP }));
