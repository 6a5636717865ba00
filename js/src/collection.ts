/** The rows of a live query, `/nitro/collection.js`: it is read through the page's one client, which it imports. */

import { connect } from "./index.js";
import { type Collection, type CollectionOptions, Rows } from "./rows.js";

export type { Change, Collection, CollectionOptions, Listener, Order } from "./rows.js";

/**
 * Have the rows of `EventSourceResponse(Todo.live(…))`, whose URL is resolved as a link in the page is, and whatever becomes of
 * them. All tabs share one stream.
 */
export const collection = <Row extends object = any>(url: string | URL, options: CollectionOptions<NoInfer<Row>> = {}): Collection<Row> =>
  new Rows((since) => connect(url, { ...options, since }), options, reportError);
