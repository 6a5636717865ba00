/** `/nitro/client.js`: the client as one file, which is the script of its own worker. */

import { here } from "./browser.js";
import { type Live, Member, type Options } from "./live.js";
import { serveAll } from "./serve.js";

export type * from "./types.js";

/**
 * Connect to a stream of `EventSourceResponse`, whose URL is resolved as a link in the page is.
 * Throws a `TypeError` for a topic that is no pattern.
 */
export const connect = (url: string | URL, options: Options = {}): Live =>
  new Member(...here(url), { worker: import.meta.url, ...options });

if ("SharedWorkerGlobalScope" in globalThis) serveAll();
