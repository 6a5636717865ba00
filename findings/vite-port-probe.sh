#!/usr/bin/env bash
# Vite 8.3.8: `server.listen()` with a host and strictPort listens at the port on all addresses first, for a moment, and closes it.
# Expected (docs of server.host and server.strictPort): with host 127.0.0.1 and strictPort it binds that address once, or fails;
# so who can connect to the port has the development server.
# Seen: before that, a plain TCP server listens at the same port on 0.0.0.0, then on ::, to see
# whether somebody has it, and is closed at once. Who waits for the port by connecting may be let in by one of these, and
# its next connection is refused; and for that moment the port is open to other hosts, whatever `host` says.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund vite@8.3.8 > /dev/null
cat > try.mjs <<'JS'
import net from "node:net";
import { createServer } from "vite";

const bound = [];
const { listen } = net.Server.prototype;
net.Server.prototype.listen = function (...how) {
  bound.push(typeof how[0] === "object" ? how[0].host : how[1]);
  return listen.apply(this, how);
};
const free = net.createServer();
await new Promise((resolve) => listen.call(free, 0, "127.0.0.1", resolve));
const { port } = free.address();
await new Promise((resolve) => free.close(resolve));
const server = await createServer({ configFile: false, logLevel: "silent", server: { host: "127.0.0.1", port, strictPort: true, ws: false } });
await server.listen();
console.log(`vite listened at, in this order: ${bound.join(", ")}`);
await server.close();
process.exit(bound.length > 1 && bound.includes("0.0.0.0") && bound.at(-1) === "127.0.0.1" ? 0 : 1);
JS
node try.mjs
