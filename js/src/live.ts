// A member: what a page's code holds. It says what it wants, keeps its place in the log, and hands on what it hears.

import type { PageEnv, Undo } from "./env.js";
import type { HandlerOf } from "./types.js";
import { headersOf, type Hearing, hears, tried, turn } from "./handlers.js";
import { isKnown, isOneLog, NO_LOG } from "./position.js";
import type { Room, RoomMember } from "./rooms.js";
import { type Config, CONFIRM_EACH, PROTOCOL, type ToMember } from "./protocol.js";
import { makeRoute, type Route } from "./route.js";
import type { Gap, State } from "./stream.js";
import { checked, PRESENCE } from "./topics.js";
import type { Failure } from "./transports.js";

export interface Message {
  /** The event's name on the server; empty for what was sent to this connection alone. */
  topic: string;
  /** Its position in the server's log; empty for what was sent to this connection alone. */
  id: string;
}

export type { RoomMember } from "./rooms.js";
export type Handler<T = any> = (data: T, message: Message) => void;

export interface Options {
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

/** What a tab keeps for its next page, which has so long to come. */
interface Kept {
  last: string;
  user: string;
  date: number;
}

/** What no topic is. */
const POSITION = "nitro.position";
const KEPT_FOR = 60_000;
/** So long after the first `connect` to a stream, others to the same one, and first topics, start where the page before was, too. */
const STARTS_WITHIN = 10_000;

/** A connection of a page's, which may be one that all its tabs share. */
export interface Live {
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

export class Member implements Live {
  state: State = "connecting";
  error: Failure | null = null;
  onstate: ((state: State, error: Failure | null) => void) | null = null;
  #env: PageEnv;
  #options: Options;
  #handlers = new Set<Hearing>();
  #topics: Set<string> | null;
  #last: string;
  #startsNow = false; // and not where it stands
  #user = "";
  #isOfPageBefore = false;
  #storageKey: string;
  #unconfirmed = 0;
  #turn = 0;
  #isJoined = false; // whether what comes is the answer to the newest turn
  #makeRoute: () => Route;
  #route: Route | null = null;
  #undo: Undo[] = [];

  constructor(env: PageEnv, href: string, options: Options) {
    this.#env = env;
    this.#options = options;
    const { topics, headers, credentials = "same-origin", worker = false } = options;
    const share = options.share ?? true; // null, too, as of a user's id where nobody is logged in
    this.#topics = topics ? new Set(topics.map(checked)) : null;
    const key = `nitro ${PROTOCOL} ${JSON.stringify([href, !topics, !!headers, credentials, share])}`;
    this.#storageKey = `${key} ${this.#names()}`;
    this.#last = options.since ?? "";
    const isTrusted = share === `${share}`; // as a string is
    const config: Config = { url: href, credentials, hasHeaders: !!headers, isTrusted };
    this.#makeRoute = () => makeRoute(env, { key: share === false ? null : key, config, worker }, (news) => this.#hear(news));
    const { on } = env;
    this.#undo.push(
      on("hide", () => this.#leave()),
      on("hide", () => this.#leave()), // where Firefox ends a page's process, it may break one listener off, past any `finally`
      on("show", this.#enter),
      on("look", this.#look),
      on("start", () => this.#start()),
    );
  }

  on(pattern: string, handler: ((gap: Gap) => void) | ((position: string) => void) | Handler): () => void {
    const own = { pattern: pattern === "gap" || pattern === POSITION ? pattern : checked(pattern), handler: handler as Handler };
    this.#handlers.add(own);
    return () => void this.#handlers.delete(own);
  }

  presence(room: string, handler: (members: RoomMember[], count: number) => void): () => void {
    const topic = checked(PRESENCE + checked(room));
    const end = this.on(topic, ({ members = [], count }: Room) => handler(members, count));
    this.#topics?.add(topic);
    this.#join(); // it is told who is there
    return () => {
      end();
      if (this.#topics && ![...this.#handlers].some(({ pattern }) => pattern === topic)) this.unsubscribe(topic);
    };
  }

  subscribe(...topics: string[]): void {
    const all = topics.map(checked);
    this.#change((own) => all.forEach((topic) => own.add(topic)));
  }

  unsubscribe(...topics: string[]): void {
    this.#change((own) => topics.forEach((topic) => own.delete(topic === "ANY" ? "*" : topic)));
  }

  close(): void {
    this.#env.keep(this.#storageKey, null);
    this.#handlers.clear();
    this.#end(true);
    this.#tell("closed");
  }

  #names(): string {
    return [...(this.#topics ?? [])].sort().join();
  }

  /** At the place that the page before left, if it was there just now: a page that was loaded ahead comes later than it. */
  #start(): void {
    const { before, date, kept, now, after } = this.#env;
    const key = this.#storageKey;
    const found: Kept & { until: number } = (before[key] ??= { ...kept(key), until: now() + STARTS_WITHIN });
    if (this.#options.since === undefined && found.last && now() < found.until && Math.abs(date() - found.date) < KEPT_FOR) {
      this.#last = found.last;
      this.#user = found.user;
      this.#isOfPageBefore = true;
      this.#undo.push(after(STARTS_WITHIN, () => (this.#startsNow ||= this.#topics?.size === 0)));
    }
    this.#enter();
  }

  #enter = (): void => {
    if (this.#route || this.state === "closed") return;
    this.#env.keep(this.#storageKey, null); // what is there later, this page has kept
    this.#route = this.#makeRoute();
    this.#route.open();
  };

  #exit(isForGood: boolean): void {
    const route = this.#route;
    this.#route = null; // whatever it still says is not heard
    route?.post({ do: "leave", isForGood });
    route?.close();
  }

  #end(isForGood: boolean): void {
    this.#exit(isForGood);
    for (const undo of this.#undo.splice(0)) undo();
  }

  #hear(news: ToMember): void {
    if (!this.#route) return;
    if (news.is === "new") this.#join();
    else if (news.is === "joined") this.#isJoined ||= news.turn === this.#turn;
    else if (news.is === "headers") void this.#giveHeaders(this.#route, news.number);
    else if (!this.#isJoined || (this.#topics?.size === 0 && ("id" in news || "gap" in news))) return; // it moves us nowhere
    else if (news.is === "message") this.#message(news);
    else if (news.is === "user") [this.#user, this.#isOfPageBefore] = [news.user, false];
    else if (news.is === "at") {
      if (this.#stand(news.id)) this.#call((pattern) => pattern === POSITION, (handler) => (handler as (position: string) => void)(news.id));
    } else if (news.is === "gap") {
      if (news.gap.reason !== "rights" && isKnown(news.gap.resumed_at, this.#last)) return;
      this.#last = news.gap.resumed_at;
      this.#call((pattern) => pattern === "gap", (handler) => (handler as (gap: Gap) => void)(news.gap));
    } else if (news.is === "state") {
      if (news.state === "closed") this.#end(false);
      this.#tell(news.state, news.failure);
    }
  }

  #message({ topic, text, id }: { topic: string; text: string; id: string }): void {
    const isOld = id && !this.#stand(id);
    if (++this.#unconfirmed === CONFIRM_EACH) {
      this.#unconfirmed = 0;
      this.#route?.post({ do: "heard", last: this.#last });
    }
    if (isOld) return;
    const { parse = JSON.parse } = this.#options;
    this.#call((pattern) => hears(pattern, topic), (handler) => handler((topic.startsWith(PRESENCE) ? JSON.parse : parse)(text), { topic, id })); // each has data of its own
  }

  /** Call those that were there when it began, and still are. */
  #call(isMeant: (pattern: string) => boolean, call: (handler: Handler) => void): void {
    const all = this.#handlers;
    for (const own of [...all]) if (all.has(own) && isMeant(own.pattern)) tried(this.#env, () => call(own.handler));
  }

  /** False if it stands there or behind already. */
  #stand(id: string): boolean {
    this.#startsNow = false;
    const isNew = !isKnown(id, this.#last);
    if (isNew) this.#last = id;
    return isNew;
  }

  /** What is on its way to us is not heard, since it would move us past what we ask for now. It comes again. */
  #join(): void {
    this.#isJoined = false;
    this.#unconfirmed = 0;
    this.#route?.post({
      do: "join",
      turn: ++this.#turn,
      topics: this.#topics && [...this.#topics],
      last: this.#startsNow ? "" : this.#last,
      user: this.#user,
      isOfPageBefore: this.#isOfPageBefore,
    });
  }

  #change(change: (own: Set<string>) => void): void {
    if (!this.#topics) throw new TypeError("Without topics the server decides.");
    const before = this.#names();
    change(this.#topics);
    if (this.#names() === before) return;
    if (!this.#topics.size) {
      this.#startsNow = true; // the next topic is heard from then on
      if (this.#route) this.#tell("waiting");
    }
    this.#join();
  }

  async #giveHeaders(route: Route, number: number): Promise<void> {
    const headers = await headersOf(this.#env, this.#options);
    route.post({ do: "headers", number, headers });
  }

  #tell(state: State, failure?: Failure): void {
    turn(this.#env, this, state, failure);
  }

  #leave(): void {
    const { keep, kept, date } = this.#env;
    const own = this.#last;
    const other = kept(this.#storageKey)?.last; // of one beside this one, who asked for the same: who is behind says where
    const last = !other || isKnown(own, other) ? own : !own || isOneLog(own, other) ? other : NO_LOG;
    if (last && !this.#startsNow) keep(this.#storageKey, { last, user: this.#user, date: date() } satisfies Kept);
    this.#exit(false);
  }

  #look = (): void => {
    this.#route?.post({ do: "wake" });
    this.#route?.ask();
  };
}
