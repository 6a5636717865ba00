/** `/nitro/client.js`: the client as one file, which is the script of its own worker. */

import { connect as connectThrough, type Live, type Options } from "./index.js";
import { serveAll } from "./serve.js";

export type * from "./index.js";

export const connect = (url: string | URL, options: Options = {}): Live =>
  connectThrough(url, { worker: import.meta.url, ...options });

if ("SharedWorkerGlobalScope" in globalThis) serveAll();
