// The shared worker of `connect(url, { worker: new URL("nitro-realtime/worker", import.meta.url) })`.

import { serveAll } from "./serve.js";

serveAll();
