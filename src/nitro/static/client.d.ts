/** The browser's side of Nitro: one stream for all tabs of an origin, which resumes and never gives up without a reason. */
import type { Gap, State } from "./stream.js";
import type { Failure } from "./transports.js";
export type { Failure, Gap, State };
export interface Message {
    /** The event's name on the server; empty for what was sent to this connection alone. */
    topic: string;
    /** Its position in the server's log. */
    id: string;
}
export type Handler = (data: any, message: Message) => void;
export interface Options {
    /** Patterns, sent as `?topic=…`; without them the server decides. */
    topics?: string[];
    /** Where to start: `nitro.position()` from before the data was read that the page shows. */
    since?: string;
    /** Headers, asked for at each attempt. The stream is then read by `fetch`. */
    headers?: () => Record<string, string> | Promise<Record<string, string>>;
    credentials?: RequestCredentials;
    /** `false`: a connection of this page's own. A string: share it only with those who give the same, as a user's id. */
    share?: boolean | string;
    /** The script of the shared worker; `false`: the tab that leads holds the connection. */
    worker?: string | URL | false;
}
export declare class Live {
    #private;
    state: State;
    /** Why it is closed, or what it waits for. */
    error: Failure | null;
    onstate: ((state: State, error: Failure | null) => void) | null;
    constructor(url: string | URL, options: Options);
    /** Hear what matches; `"gap"` is told of what can't be had any more. Returns a function that ends it. */
    on(pattern: "gap", handler: (gap: Gap) => void): () => void;
    on(pattern: string, handler: Handler): () => void;
    subscribe(...topics: string[]): void;
    unsubscribe(...topics: string[]): void;
    close(): void;
}
/** Connect to a stream of `EventSourceResponse`. Throws a `TypeError` for a topic that is no pattern. */
export declare const connect: (url: string | URL, options?: Options) => Live;
