/** Why a stream is not to be had. `status` is the server's, if it answered. */
interface Failure {
    status?: number;
    message: string;
}

/** Who is in a room, as the server says it. */
interface RoomMember<State = any> {
    user_id: string;
    /** What the application says of the user. */
    state: State;
    /** Since when, in seconds since 1970. */
    since: number;
}

type State = "connecting" | "open" | "waiting" | "closed";
interface Gap {
    /** `"rights"`: the server lets this page hear something else than before. The others are the server's own. */
    reason: "expired" | "epoch" | "overflow" | "invalid" | "rights";
    resumed_at: string;
}

interface Message {
    /** The event's name on the server; empty for what was sent to this connection alone. */
    topic: string;
    /** Its position in the server's log; empty for what was sent to this connection alone. */
    id: string;
}

type Handler<T = any> = (data: T, message: Message) => void;
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
    share?: boolean | string;
    /** The script of the shared worker; `false`: the tab that leads holds the connection. */
    worker?: string | URL | false;
    /** Makes data of an event's JSON; `JSON.parse` if left out. */
    parse?: (json: string) => unknown;
}
/** A connection of a page's, which may be one that all its tabs share. */
interface Live {
    /** `"waiting"`: it comes back by itself. `"closed"`: it does not. */
    readonly state: State;
    /** Why it is closed, or what it waits for. */
    readonly error: Failure | null;
    /** Called at each change of `state`. */
    onstate: ((state: State, error: Failure | null) => void) | null;
    /**
     * Hear what matches the pattern, or with `"gap"` what can't be had any more. Returns a function that ends it.
     * Throws a `TypeError` for what is no pattern.
     */
    on(pattern: "gap", handler: (gap: Gap) => void): () => void;
    /** Hear how far it has got in the server's log, when nothing of what it hears has come up to there. */
    on(pattern: "nitro.position", handler: (position: string) => void): () => void;
    on<T = any>(pattern: string, handler: Handler<T>): () => void;
    /**
     * Hear who is in this room, now and whenever that changes; whoever came first is the first. In a crowd nobody is named, and
     * only `count` tells how many there are. Subscribes to `presence.<room>`, and returns a function that ends it.
     * Throws a `TypeError` for what is no room's name.
     */
    presence<State = any>(room: string, handler: (members: RoomMember<State>[], count: number) => void): () => void;
    /** Hear these topics too, from now on. Throws a `TypeError` if it was made without topics. */
    subscribe(...topics: string[]): void;
    /** Drop topics that were subscribed to in the same words. */
    unsubscribe(...topics: string[]): void;
    /** For good: nothing is heard any more, and nothing is held. */
    close(): void;
}

/** `/nitro/client.js`: the client as one file, which is the script of its own worker. */

/**
 * Connect to a stream of `EventSourceResponse`, whose URL is resolved as a link in the page is.
 * Throws a `TypeError` for a topic that is no pattern.
 */
declare const connect: (url: string | URL, options?: Options) => Live;

export { connect };
export type { Failure, Gap, Handler, Live, Message, Options, RoomMember, State };
