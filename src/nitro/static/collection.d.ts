/** Why a stream is not to be had. `status` is the server's, if it answered. */
interface Failure {
    status?: number;
    message: string;
}

interface Options {
    /** Patterns, sent as `?topic=…`; without them the server decides. With `[]` it waits for the first `subscribe`. */
    topics?: string[];
    /** Where to start: `nitro.position()` from before the data was read that the page shows. */
    since?: string;
    /** Headers, asked for at each attempt. The stream is then read by `fetch`. */
    headers?: () => HeadersInit | Promise<HeadersInit>;
    /** As of `fetch`: `"same-origin"` if left out; `"include"` sends cookies to another origin. */
    credentials?: RequestCredentials;
    /** `false`: a connection of this page's own. A string, as a user's id: share it only with those who give the same. */
    share?: boolean | string | null;
    /** The script of the shared worker; `false`: the tab that leads holds the connection. */
    worker?: string | URL | false;
    /** Makes data of an event's JSON; `JSON.parse` if left out. Presence is always `JSON.parse`'s. */
    parse?: (json: string) => unknown;
}

/** An attribute, or `"-attribute"`: the other way round. Null comes before everything else. */
type Order<Row> = (keyof Row & string) | `-${keyof Row & string}`;
interface CollectionOptions<Row> extends Omit<Options, "topics" | "since"> {
    /** The attribute that is the row's key; without it, keys are the strings by which the server knows the rows. */
    key?: keyof Row & string;
    /** How rows are sorted; without it, as they came: the rows of the snapshot in its order, and new ones behind them. */
    sort?: Order<Row> | Order<Row>[] | ((a: Row, b: Row) => number);
}
/** One row that is there, that is another one, or that is gone. `previous` is what it was, and `value` what it is. */
interface Change<Row> {
    operation: "insert" | "update" | "delete";
    key: any;
    value: Row | undefined;
    previous: Row | undefined;
}
type Listener<Row> = (rows: readonly Row[], changes: Change<Row>[]) => void;
/** The rows of a live query, as they are now. Its functions can be handed on without it. */
interface Collection<Row> {
    /** Frozen; the same array as long as nothing has changed, and the same objects for rows that have not. */
    readonly rows: readonly Row[];
    readonly size: number;
    /** The row that has this key, as changes have it. */
    get(key: unknown): Row | undefined;
    /** `"loading"`: it has no rows yet. `"waiting"`: they may be old, and it comes back by itself. `"closed"`: it does not. */
    readonly state: "loading" | "live" | "waiting" | "closed";
    /** Why it is closed, or what it waits for. */
    readonly error: Failure | null;
    /** Everything up to there, in the server's log, is in the rows. Empty before there are rows. */
    readonly position: string;
    /** Resolves when it has rows. Rejects if it is closed before. */
    readonly ready: Promise<void>;
    /** Called once for each commit that changes rows, and once when all were read anew, with the difference. */
    onchange: Listener<Row> | null;
    /** As `onchange`, and also called, without changes, when `state` is another one. Returns a function that ends it. */
    subscribe(listener: Listener<Row>): () => void;
    /**
     * Resolves when everything up to there is in the rows: at once without a position, as of a response that has none, since
     * then nothing was written. A position of a log that was lost since is in them. For one of a log that it does not know,
     * all rows are read anew: what was written before it was asked for is in them. Rejects with a `TypeError` for what is no
     * position, and with an `Error` when the collection is closed.
     */
    reached(position: string | null | undefined): Promise<void>;
    /** For good. The rows stay as they are. */
    close(): void;
}

/** The rows of a live query, `/nitro/collection.js`: it is read through the page's one client, which it imports. */

/**
 * Have the rows of `EventSourceResponse(Todo.live(…))`, whose URL is resolved as a link in the page is, and whatever becomes of
 * them. All tabs share one stream.
 */
declare const collection: <Row extends object = any>(url: string | URL, options?: CollectionOptions<NoInfer<Row>>) => Collection<Row>;

export { collection };
export type { Change, Collection, CollectionOptions, Listener, Order };
