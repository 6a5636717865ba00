// Reads an AsyncAPI document from stdin by the official parser, and prints what it says of it as JSON.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
const channels = document?.channels().all() ?? [];
console.log(
  JSON.stringify({
    channels: Object.fromEntries(channels.map((each) => [each.address(), each.messages().all().map((one) => one.name())])),
    diagnostics: diagnostics.filter(({ code }) => code !== "asyncapi-latest-version").map(({ code, message, path }) => ({ code, message, path })),
  }),
);
