/** The browser's side of Nitro: one stream for all tabs of an origin, which resumes and never gives up without a reason. */

import { isKnown } from "./position.js";
import { type Config, CONFIRM_EACH, PROTOCOL, type ToMember, type Way } from "./protocol.js";
import type { Gap, State } from "./stream.js";
import { checked, matches } from "./topics.js";
import type { Failure } from "./transports.js";
import { alone, holdTabLock, throughLeader, throughWorker } from "./ways.js";

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

export class Live {
  state: State = "connecting";
  /** Why it is closed, or what it waits for. */
  error: Failure | null = null;
  onstate: ((state: State, error: Failure | null) => void) | null = null;
  #options: Options;
  #handlers = new Map<string, Set<Handler>>();
  #gapHandlers = new Set<(gap: Gap) => void>();
  #topics: Set<string> | null;
  #last: string;
  #storageKey: string;
  #heard = 0;
  #way: Way;
  #isHeld: Promise<unknown>;
  #isLeft = false;
  #end = new AbortController(); // its `signal` is an option of listeners

  constructor(url: string | URL, options: Options) {
    this.#options = options;
    const { topics, headers, credentials = "same-origin", share = true } = options;
    const href = new URL(url, location.href).href;
    this.#topics = topics ? new Set(topics.map(checked)) : null;
    const key = `nitro ${PROTOCOL} ${JSON.stringify([href, !topics, !!headers, credentials, share])}`;
    this.#storageKey = key;
    this.#last = options.since ?? stored(key);
    const config: Config = { url: href, credentials, hasHeaders: !!headers };
    const name = `${Math.random()}`;
    this.#isHeld = share === false ? Promise.resolve() : holdTabLock(name, this.#end.signal);
    this.#way = this.#open(share === false ? null : key, config, name);
    addEventListener("pagehide", this.#leave, this.#end);
    addEventListener("pageshow", this.#comeBack, this.#end);
    addEventListener("online", this.#wake, this.#end);
    document.addEventListener("visibilitychange", this.#wake, this.#end);
    document.addEventListener("resume", this.#wake, this.#end);
  }

  /** Hear what matches; `"gap"` is told of what can't be had any more. Returns a function that ends it. */
  on(pattern: "gap", handler: (gap: Gap) => void): () => void;
  on(pattern: string, handler: Handler): () => void;
  on(pattern: string, handler: ((gap: Gap) => void) | Handler): () => void {
    if (pattern === "gap") {
      const hear = handler as (gap: Gap) => void;
      this.#gapHandlers.add(hear);
      return () => this.#gapHandlers.delete(hear);
    }
    const all = this.#handlers.get(checked(pattern)) ?? new Set<Handler>();
    this.#handlers.set(pattern, all.add(handler as Handler));
    return () => all.delete(handler as Handler);
  }

  subscribe(...topics: string[]): void {
    this.#change((own) => topics.forEach((topic) => own.add(checked(topic))));
  }

  unsubscribe(...topics: string[]): void {
    this.#change((own) => topics.forEach((topic) => own.delete(topic)));
  }

  close(): void {
    this.#leave();
    this.#way.close();
    this.#end.abort();
    stored(this.#storageKey);
    this.#tell("closed");
  }

  #open(key: string | null, config: Config, name: string): Way {
    const tell = (news: ToMember) => this.#hear(news);
    const { worker } = this.#options;
    const otherwise = () =>
      key !== null && navigator.locks && typeof BroadcastChannel !== "undefined"
        ? throughLeader(key, config, name, tell)
        : alone(config, name, tell);
    if (key === null || !worker || typeof SharedWorker === "undefined") return otherwise();
    try {
      return throughWorker(worker, key, config, name, tell, (isBroken) => {
        this.#way = isBroken ? otherwise() : this.#open(key, config, name);
      });
    } catch {
      return otherwise(); // as for a script of another origin
    }
  }

  #hear(news: ToMember): void {
    if (this.#isLeft) return;
    if (news.is === "message") this.#message(news);
    else if (news.is === "at") this.#last = isKnown(news.id, this.#last) ? this.#last : news.id;
    else if (news.is === "state") this.#tell(news.state, news.failure);
    else if (news.is === "new") void this.#join();
    else if (news.is === "headers") void this.#giveHeaders();
    else if (news.is === "gap" && !isKnown(news.gap.resumed_at, this.#last)) {
      this.#last = news.gap.resumed_at;
      for (const handler of [...this.#gapHandlers]) attempt(() => handler(news.gap));
    }
  }

  #message({ topic, text, id }: { topic: string; text: string; id: string }): void {
    if (++this.#heard % CONFIRM_EACH === 0) queueMicrotask(() => this.#way.post({ do: "heard", last: this.#last }));
    if (id && isKnown(id, this.#last)) return;
    if (id) this.#last = id;
    for (const [pattern, handlers] of [...this.#handlers]) {
      if (topic ? !matches(pattern, topic) : pattern !== "*") continue;
      for (const handler of [...handlers]) attempt(() => handler(JSON.parse(text), { topic, id }));
    }
  }

  async #join(): Promise<void> {
    await this.#isHeld; // or the host would take us for gone
    if (this.#isLeft) return;
    this.#heard = 0;
    this.#way.post({ do: "join", topics: this.#topics && [...this.#topics], last: this.#last });
  }

  #change(change: (own: Set<string>) => void): void {
    if (!this.#topics) throw new TypeError("It was made without topics: the server decides.");
    const before = [...this.#topics].join();
    change(this.#topics);
    if ([...this.#topics].join() !== before) void this.#join();
  }

  async #giveHeaders(): Promise<void> {
    try {
      this.#way.post({ do: "headers", headers: (await this.#options.headers?.()) ?? {} });
    } catch (error) {
      reportError(error);
      this.#way.post({ do: "headers" });
    }
  }

  #tell(state: State, failure?: Failure): void {
    if (state === this.state && !failure && !this.error) return;
    this.state = state;
    this.error = failure ?? null;
    attempt(() => this.onstate?.(state, this.error));
  }

  #leave = () => {
    this.#isLeft = true;
    if (this.#last) sessionStorageOf()?.setItem(this.#storageKey, this.#last);
    this.#way.post({ do: "leave" });
  };

  #comeBack = ({ persisted }: PageTransitionEvent) => {
    if (!persisted) return;
    this.#isLeft = false;
    void this.#join();
  };

  #wake = () => {
    if (document.visibilityState === "visible" && navigator.onLine) this.#way.post({ do: "wake" });
  };
}

/** Connect to a stream of `EventSourceResponse`. Throws a `TypeError` for a topic that is no pattern. */
export const connect = (url: string | URL, options: Options = {}): Live => new Live(url, options);

/** One handler's error is everybody's to see, and stops nobody. */
function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    reportError(error);
  }
}

function sessionStorageOf(): Storage | null {
  try {
    return sessionStorage;
  } catch {
    return null; // the browser forbids it
  }
}

/** What a page left there that was reloaded; it is used once. */
function stored(key: string): string {
  const storage = sessionStorageOf();
  const last = storage?.getItem(key);
  storage?.removeItem(key);
  return last ?? "";
}
