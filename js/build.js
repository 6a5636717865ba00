// Builds what npm gets (dist/) and what the wheel serves (src/nitro/static/). `--out DIRECTORY` puts the latter elsewhere.
import { build } from "esbuild";
import { existsSync } from "node:fs";
import { copyFile, rm, writeFile } from "node:fs/promises";
import { rollup } from "rollup";
import { dts } from "rollup-plugin-dts";
import { minify } from "terser";

import { edited } from "./test/edits.js";

const place = process.argv.indexOf("--out");
const wheel = place > 0 ? process.argv[place + 1] : "../src/nitro/static";
const common = { bundle: true, format: "esm", target: "es2022", legalComments: "none", logLevel: "warning", metafile: true };

if (process.argv.includes("--tests")) {
  const tests = { ...common, platform: "node" };
  await build({ ...tests, entryPoints: ["test/all.ts"], outfile: "test/built.mjs" });
  await build({ ...tests, entryPoints: ["test/run.ts"], outfile: "test/explorer.mjs", plugins: [edited()] });
} else {
  await rm("dist", { recursive: true, force: true });
  const { metafile } = await build({
    ...common,
    entryPoints: ["src/index.ts", "src/worker.ts"],
    outdir: "dist",
    sourcemap: true,
  });
  const client = { ...common, entryPoints: ["src/client.ts"] };
  await build({ ...client, outfile: `${wheel}/client.readable.js` });
  const { outputFiles } = await build({ ...client, minify: true, write: false, outfile: "client.js" });
  // 300 bytes of the 8 KiB that it may have: esbuild shortens private names, and terser finds what it leaves
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2022, compress: { passes: 3 } });
  await writeFile(`${wheel}/client.js`, `${code}\n`);
  const values = metafile.outputs["dist/index.js"].exports;
  await declare("index", "dist/index.d.ts", values);
  await declare("client", `${wheel}/client.d.ts`, values);
  await writeFile("dist/worker.d.ts", "export {};\n");
  if (existsSync("../LICENSE")) await copyFile("../LICENSE", "LICENSE"); // npm packs no file from above
}

/** Write the declarations of one entry, with all that they need. What the script does not export is a type only. */
async function declare(entry, file, values) {
  const bundle = await rollup({ input: `types/${entry}.d.ts`, plugins: [dts()], onLog: refuse });
  const { output } = await bundle.generate({ format: "es" });
  const code = output[0].code.replace(/^export \{ (.+) \};$/m, (_, names) => {
    const types = names.split(", ").filter((name) => !values.includes(name));
    const all = [...values, ...types.map((name) => `type ${name}`)];
    return `export { ${all.join(", ")} };`;
  });
  await writeFile(file, code);
}

/** Such as a file that is imported and missing. */
function refuse(_level, log) {
  throw new Error(log.message);
}
