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
/** Properties of objects that are never handed to a page's code, nor posted to another page or worker, which may have another build. */
const INNER = /^(isWaiting|isNewcomer|isAsleep|unconfirmed|heardAt|probedAt|wasOpen|hasBegun|wanted|greeted|refused|openSoon|covers|hear|keep|kept|soon|report|hold|lead|isAsked|post|tell|watch|after|end|open|ask|wake|give|readers|channel|kind|stream|event|env|before|again|remove|handler|pattern|read|until|member)$/;
const common = { bundle: true, format: "esm", target: "es2022", legalComments: "none", logLevel: "warning" };

if (process.argv.includes("--tests")) {
  const tests = { ...common, platform: "node" };
  await build({ ...tests, entryPoints: ["test/all.ts"], outfile: "test/built.mjs" });
  await build({ ...tests, entryPoints: ["test/run.ts"], outfile: "test/explorer.mjs", plugins: [edited()] });
} else {
  await rm("dist", { recursive: true, force: true });
  const dist = { ...common, outdir: "dist", sourcemap: true };
  await build({ ...dist, entryPoints: ["src/index.ts", "src/worker.ts", "src/follow.ts"] });
  await build({ ...dist, entryPoints: ["src/collection.ts"], plugins: [importing("./index.js")] });
  await serve("client", []);
  await serve("follow", []);
  await serve("collection", [importing("./client.js")]);
  await declare("index", "dist/index.d.ts", "connect");
  await declare("client", `${wheel}/client.d.ts`, "connect");
  for (const name of ["follow", "collection"]) for (const directory of ["dist", wheel]) await declare(name, `${directory}/${name}.d.ts`, name);
  await writeFile("dist/worker.d.ts", "export {};\n");
  if (existsSync("../LICENSE")) await copyFile("../LICENSE", "LICENSE"); // npm packs no file from above
}

/** Write what the wheel serves of one entry: as it is read, and as it is loaded. */
async function serve(entry, plugins) {
  const options = { ...common, entryPoints: [`src/${entry}.ts`], plugins };
  await build({ ...options, outfile: `${wheel}/${entry}.readable.js` });
  const { outputFiles } = await build({ ...options, minify: true, mangleProps: INNER, write: false, outfile: `${entry}.js` });
  // 500 bytes of the 8 KiB that the client may have: esbuild shortens these and private names, and terser finds what it leaves
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2022, compress: { passes: 3, pure_getters: true, hoist_funs: true, sequences: false, unsafe_arrows: true, lhs_constants: false } });
  await writeFile(`${wheel}/${entry}.js`, `${code}\n`);
}

/** A page has one client, so who needs it imports it from there, and has no copy. */
function importing(path) {
  return { name: "importing", setup: ({ onResolve }) => onResolve({ filter: /^\.\/index\.js$/ }, () => ({ path, external: true })) };
}

/** Write the declarations of one entry, with all that they need. The script exports this value; the rest is types only. */
async function declare(entry, file, value) {
  const bundle = await rollup({ input: `types/${entry}.d.ts`, plugins: [dts()], onLog: refuse });
  const { output } = await bundle.generate({ format: "es" });
  const code = output[0].code.replace(/^export \{ (.+) \};$/m, (_, names) => {
    const types = names.split(", ").filter((name) => name !== value);
    return `export { ${[value, ...types.map((name) => `type ${name}`)].join(", ")} };`;
  });
  await writeFile(file, code);
}

/** Such as a file that is imported and missing. */
function refuse(_level, log) {
  throw new Error(log.message);
}
