// Builds what npm gets (dist/) and what the wheel serves (src/nitro/static/). `--out DIRECTORY` puts the latter elsewhere.
import { build } from "esbuild";
import { cp } from "node:fs/promises";

const place = process.argv.indexOf("--out");
const wheel = place > 0 ? process.argv[place + 1] : "../src/nitro/static";
const common = { bundle: true, format: "esm", target: "es2022", legalComments: "none", logLevel: "warning" };

if (process.argv.includes("--tests")) {
  await build({ ...common, entryPoints: ["test/all.ts"], outfile: "test/built.mjs", platform: "node" });
} else {
  await build({ ...common, entryPoints: ["src/index.ts", "src/worker.ts"], outdir: "dist", sourcemap: true });
  await build({ ...common, entryPoints: ["src/client.ts"], outfile: `${wheel}/client.js`, minify: true, sourcemap: true });
  await build({ ...common, entryPoints: ["src/client.ts"], outfile: `${wheel}/client.readable.js` });
  await cp("dist/index.d.ts", `${wheel}/client.d.ts`);
}
