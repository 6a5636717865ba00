/** The browser's side of Nitro: one stream for all tabs of an origin, which resumes and never gives up without a reason. */

import { page } from "./browser.js";
import type { PageEnv } from "./env.js";
import { followIn, type FollowOptions, type Run } from "./follow.js";
import { type Live, Member, type Options } from "./live.js";

export type { End, FollowOptions, Run } from "./follow.js";
export type { Handler, Live, Message, Options } from "./live.js";
export type { Gap, State } from "./stream.js";
export type { Failure } from "./transports.js";

let env: PageEnv | undefined;

const here = (url: string | URL) => [(env ??= page()), new URL(url, document.baseURI).href] as const;

/**
 * Connect to a stream of `EventSourceResponse`, whose URL is resolved as a link in the page is.
 * Throws a `TypeError` for a topic that is no pattern.
 */
export const connect = (url: string | URL, options: Options = {}): Live => new Member(...here(url), options);

/** Follow a run of `nitro.runs.stream`, whose URL is resolved as a link in the page is, to its end. Each tab reads it by itself. */
export const follow = <Item = any>(url: string | URL, options: FollowOptions<Item>): Run => followIn(...here(url), options);
