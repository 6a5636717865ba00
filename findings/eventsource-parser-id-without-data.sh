#!/usr/bin/env bash
# eventsource-parser 3.1.1: an id in a block without data is forgotten.
# Expected (WHATWG HTML, 9.2.6): `id` sets the last event id; it holds for all events behind it, also if its own block has
# no data and so dispatches nothing.
# Seen: the event behind it comes with an id of undefined, and nothing else tells the id, so who resumes by what it was
# given comes back to an older place than the server had said.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund eventsource-parser@3.1.1 > /dev/null
cat > try.mjs <<'JS'
import { createParser } from "eventsource-parser";
const heard = [];
createParser({ onEvent: ({ id, data }) => heard.push([id ?? null, data]) }).feed("id: 7\n\ndata: a\n\nid: 8\ndata: b\n\n");
console.log(`eventsource-parser 3.1.1: heard ${JSON.stringify(heard)}`);
process.exit(JSON.stringify(heard) === '[[null,"a"],["8","b"]]' ? 0 : 1);
JS
node try.mjs
