// What the explorer is built with: its worlds are small, so a member falls asleep sooner in them than in a browser.

import { readFile } from "node:fs/promises";

const SLEEPS_SOON = {
  name: "a member confirms each five messages, and is asleep when it owes ten",
  file: "protocol.ts",
  text: `export const CONFIRM_EACH = 100;
export const MOST_UNCONFIRMED = 1000;`,
  by: "export const CONFIRM_EACH = 5, MOST_UNCONFIRMED = 10;",
};

/** For esbuild: the text of each edit stands in its file of `src/` once, and `by` is there instead. */
export const edited = (...edits) => ({
  name: "edited",
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/\w+\.ts$/ }, async ({ path }) => {
      let contents = await readFile(path, "utf8");
      for (const { name, file, text, by } of [SLEEPS_SOON, ...edits]) {
        if (!path.endsWith(`/src/${file}`)) continue;
        const parts = contents.split(text);
        if (parts.length !== 2) throw new Error(`"${name}": ${file} has its text ${parts.length - 1} times, and not once`);
        contents = parts.join(by);
      }
      return { contents, loader: "ts" };
    });
  },
});
