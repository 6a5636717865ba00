/** The browser's side of Nitro: one stream for all tabs of an origin, which resumes and never gives up without a reason. */

import { page } from "./browser.js";
import type { PageEnv } from "./env.js";
import { type Live, Member, type Options } from "./live.js";

export type { Handler, Live, Message, Options } from "./live.js";
export type { Gap, State } from "./stream.js";
export type { Failure } from "./transports.js";

let env: PageEnv | undefined;

/**
 * Connect to a stream of `EventSourceResponse`, whose URL is resolved as a link in the page is.
 * Throws a `TypeError` for a topic that is no pattern.
 */
export const connect = (url: string | URL, options: Options = {}): Live =>
  new Member((env ??= page()), new URL(url, document.baseURI).href, options);
