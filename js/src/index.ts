/** The browser's side of Nitro: one stream for all tabs of an origin, which resumes and never gives up without a reason. */

import { here } from "./browser.js";
import { type Live, Member, type Options } from "./live.js";

export type * from "./types.js";

/**
 * Connect to a stream of `EventSourceResponse`, whose URL is resolved as a link in the page is.
 * Throws a `TypeError` for a topic that is no pattern.
 */
export const connect = (url: string | URL, options: Options = {}): Live => new Member(...here(url), options);
