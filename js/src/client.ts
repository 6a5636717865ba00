/** `/nitro/client.js`: the client as one file, which is the script of its own worker. */

import { connect as connectThrough, type Live, type Options } from "./index.js";
import { serveAll } from "./serve.js";

export { follow } from "./index.js";
export type * from "./index.js";

/**
 * Connect to a stream of `EventSourceResponse`, whose URL is resolved as a link in the page is.
 * Throws a `TypeError` for a topic that is no pattern.
 */
export const connect = (url: string | URL, options: Options = {}): Live =>
  connectThrough(url, { worker: import.meta.url, ...options });

if ("SharedWorkerGlobalScope" in globalThis) serveAll();
