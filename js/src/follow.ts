/** A run as it grows, `/nitro/follow.js`: a script of its own, since a page that shows one answer needs no connection to share. */

import { here } from "./browser.js";
import { type FollowOptions, followIn, type Run } from "./runs.js";

export type { End, FollowOptions, Run } from "./runs.js";
export type { State } from "./stream.js";
export type { Failure } from "./transports.js";

/** Follow a run of `nitro.runs.stream`, whose URL is resolved as a link in the page is, to its end. Each tab reads it by itself. */
export const follow = <Item = any>(url: string | URL, options: FollowOptions<Item>): Run => followIn(...here(url), options);
