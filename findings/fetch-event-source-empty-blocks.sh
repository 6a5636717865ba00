#!/usr/bin/env bash
# @microsoft/fetch-event-source 2.0.1: blocks without data reach `onmessage`.
# Expected (WHATWG HTML, 9.2.6): a block whose data buffer is empty dispatches no event; an `id` or `retry` alone only
# sets the last id or the time to wait.
# Seen: onmessage is called for both, with data "", so that a handler which begins with JSON.parse(event.data) throws.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund @microsoft/fetch-event-source@2.0.1 > /dev/null
cat > try.cjs <<'JS'
const { createServer } = require("node:http");
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const { fetchEventSource } = require("@microsoft/fetch-event-source");
const server = createServer((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end("id: 1\n\nretry: 2000\n\nid: 2\ndata: 7\n\n");
});
server.listen(0, "127.0.0.1", async () => {
    const heard = [];
    const url = `http://127.0.0.1:${server.address().port}/`;
    await fetchEventSource(url, { openWhenHidden: true, onmessage: (event) => heard.push(event.data) });
    const { version } = require("@microsoft/fetch-event-source/package.json");
    console.log(`fetch-event-source ${version}: onmessage heard ${JSON.stringify(heard)}`);
    process.exit(JSON.stringify(heard) === '["","","7"]' ? 0 : 1);
});
JS
node try.cjs
