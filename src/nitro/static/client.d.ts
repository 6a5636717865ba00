/** Why a stream is not to be had. `status` is the server's, if it answered. */
interface Failure {
    status?: number;
    message: string;
}

type State = "connecting" | "open" | "waiting" | "closed";
interface Gap {
    /** `"rights"`: the server lets this page hear something else than before. The others are the server's own. */
    reason: "expired" | "epoch" | "overflow" | "invalid" | "rights";
    resumed_at: string;
}

/**
 * The data of each event by its topic. It is empty, and filled by the file that `nitro types main:app -o events.d.ts` writes:
 * the handlers of these topics, and of patterns that match some of them, are then given data of these types.
 */
interface Events {
}
type Topic = Extract<keyof Events, string>;
/** As `matches` in topics.ts: each `*` stands for one or more characters. */
type Matches<Pattern extends string, Text extends string> = Pattern extends `${infer Start}*${infer End}` ? Text extends `${Start}${infer Rest}` ? EndsSo<End, Rest> : false : Pattern extends Text ? true : false;
type EndsSo<End extends string, Text extends string> = Text extends `${string}${infer Rest}` ? End extends `${infer Next}*${infer More}` ? Rest extends `${string}${Next}${infer After}` ? EndsSo<More, After> : false : Rest extends `${string}${End}` ? true : false : false;
type IsOfAll<Pattern extends string> = true extends (Pattern extends "*" | "ANY" ? true : false) ? true : false;
type TopicOf<Pattern extends string> = IsOfAll<Pattern> extends true ? Topic : {
    [Each in Topic]: true extends Matches<Pattern, Each> ? Each : never;
}[Topic];
/** What `*` hears, and nothing else does: what was sent to this connection alone. */
type Alone<Pattern extends string> = IsOfAll<Pattern> extends true ? "" : never;
type Data<Each> = Each extends keyof Events ? Events[Each] : unknown;
/**
 * What the handlers of a pattern are given, as one object for each topic, so that `data` narrows by `topic`:
 * `live.on("todo.*", (data, { topic }) => show({ topic, data } as Heard<"todo.*">))`.
 */
type Heard<Pattern extends string = "*"> = {
    [Each in TopicOf<Pattern> | Alone<Pattern>]: {
        topic: Each;
        data: Data<Each>;
    };
}[TopicOf<Pattern> | Alone<Pattern>];
interface MessageOf<Each extends string> extends Message {
    topic: Each;
}
type Given<Pattern extends string> = {
    [Each in TopicOf<Pattern> | Alone<Pattern>]: [data: Data<Each>, message: MessageOf<Each>];
}[TopicOf<Pattern> | Alone<Pattern>];
/** The handler of a pattern: of data as `Events` has it, or of any (`T`) if nothing there matches, or the pattern isn't known. */
type HandlerOf<Pattern extends string, T> = [keyof Events] extends [never] ? Handler<T> : {} extends Record<Pattern, true> ? Handler<T> : [TopicOf<Pattern>] extends [never] ? Handler<T> : (...heard: Given<Pattern>) => void;

/** Who is in a room, as the server says it. */
interface RoomMember<State = any> {
    user_id: string;
    /** What the application says of the user. */
    state: State;
    /** Since when, in seconds since 1970. */
    since: number;
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
    share?: boolean | string | null;
    /** The script of the shared worker; `false`: the tab that leads holds the connection. */
    worker?: string | URL | false;
    /** Makes data of an event's JSON; `JSON.parse` if left out. Presence is always `JSON.parse`'s. */
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
    /** Data has the types of `Events`, if that has topics which the pattern matches; else that of the handler. */
    on<T = any, P extends string = string>(pattern: P, handler: HandlerOf<P, T>): () => void;
    /**
     * Hear who is in this room, now and whenever that changes; whoever came first is the first. In a crowd nobody is named, and
     * only `count` tells how many there are. Subscribes to `presence.<room>`, and returns a function that ends it. If it was made
     * without topics, the server decides: it hears of rooms that are named there, and of no other.
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
export type { Events, Failure, Gap, Handler, HandlerOf, Heard, Live, Message, Options, RoomMember, State };
