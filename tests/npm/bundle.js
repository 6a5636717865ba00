// Builds a page for production as its developers would: `node bundle.js vite|webpack ROOT OUT`.
import { build } from "vite";
import webpack from "webpack";

const [way, root, out] = process.argv.slice(2);

if (way === "vite") {
  await build({ root, configFile: false, logLevel: "warn", build: { outDir: out } });
} else {
  const compiler = webpack({ mode: "production", context: root, entry: "./main.js", output: { path: out } });
  compiler.run((error, stats) => {
    if (error ?? stats.hasErrors()) throw error ?? new Error(stats.toString());
    console.log(stats.toString({ preset: "errors-warnings" }));
    compiler.close(() => {});
  });
}
