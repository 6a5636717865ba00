// One stream that resumes: it waits, comes back with its last id, and notices a dead line. Given up only for a reason.

import { backoff } from "./backoff.js";
import type { Env, Undo } from "./env.js";
import { type Close, type Failure, failed, type Headers } from "./transports.js";

export type State = "connecting" | "open" | "waiting" | "closed";

export interface Gap {
  /** `"rights"`: the server lets this page hear something else than before. The others are the server's own. */
  reason: "expired" | "epoch" | "overflow" | "invalid" | "rights";
  resumed_at: string;
}

/** Where a stream is to be had, but for what is asked of it. */
export interface Source {
  url: string;
  credentials: RequestCredentials;
}

export interface Listener {
  /** What to ask for: it is asked at each attempt. */
  wanted(): { topics: string[] | null; last: string };
  /** Headers to ask with, or null if there are none to be had now. */
  headers(give: (headers: Headers | null) => void): void;
  state(state: State, failure?: Failure): unknown;
  /** It is open, for this user. Nothing has been heard yet. */
  greeted(user: string): void;
  /** There is no hope. It stands still until it is opened again or ended. */
  refused(failure: Failure): void;
  /** `type` is the event's name, or `"message"`. */
  message(topic: string, text: string, id: string, type: string): void;
  /** Something is missing behind `last`, which is as it was before. */
  gap(gap: Gap): void;
  /** There is nothing more up to here. */
  at(id: string): void;
}

const OPENS_WITHIN = 20_000;
/** Answers that may be others the next time. */
const PASSING = [408, 425, 429];
/** What proxies and captive portals answer in place of a server that was there before. */
const PASSING_LATER = [200, 404, 421];
/** So many characters of topics fit into any URL; a header has room for as many, and a request for so many headers. */
const MOST_IN_URL = 4000;
/** Whole topics with commas between them, as many as fit. */
const PARCEL = /[^,].{0,3998}(?=,|$)/g;
/** The user of a stream whose server doesn't say for whom it is. */
export const NOBODY = "-";

export class Stream {
  state: State = "closed";
  failure: Failure | undefined;
  last = "";
  /** Whether it has been open, so that the server is one of ours. */
  wasOpen = false;
  #env: Env;
  #source: Source;
  #listener: Listener;
  #attempt = 0;
  #retry = 2000;
  #heartbeat = 15_000;
  #ending = -1; // what the server said at the end: how long to wait
  #isGreeted = false;
  #inHeaders = false;
  #close: Close | undefined;
  #timer: Undo | undefined;
  #watchdog: Undo | undefined;
  #heardAt = 0;

  constructor(env: Env, source: Source, listener: Listener) {
    this.#env = env;
    this.#source = source;
    this.#listener = listener;
  }

  /** Read on, with what is wanted now. */
  open(): void {
    this.#attempt = 0;
    if (this.state !== "open") this.#tell("connecting");
    this.#connect();
  }

  end(failure?: Failure): void {
    this.#release();
    this.#tell("closed", failure);
  }

  /** There may be a network again, or somebody looks. */
  wake(): void {
    if (this.state === "waiting") this.#connect();
    else if (this.state === "open" && this.#env.now() - this.#heardAt > this.#heartbeat * 1.5) this.#dropped();
  }

  #release(): void {
    this.#close?.();
    this.#timer?.();
    this.#watchdog?.();
  }

  #connect(): void {
    this.#release();
    const { topics, last } = this.#listener.wanted();
    const { credentials } = this.#source;
    const url = new URL(this.#source.url);
    const add = (name: string, value: string) => url.searchParams.append(name, value);
    add("envelope", "1");
    const headers = parcels(topics ?? []);
    this.#inHeaders = !!headers;
    if (!headers) for (const topic of topics ?? []) add("topic", topic);
    if (last) add("last_event_id", last);
    this.last = last;
    if (this.state === "waiting") this.#tell("connecting");
    this.#isGreeted = false;
    this.#ending = -1;
    let isMine = true;
    let close: Close | undefined;
    this.#close = () => {
      isMine = false;
      close?.();
    };
    this.#listener.headers((more) => {
      if (!isMine) return;
      if (!more) return this.#dropped();
      this.#heardAt = this.#env.now();
      this.#watch(OPENS_WITHIN);
      close = this.#env.read(
        { url: url.href, credentials, headers: { ...more, ...headers } },
        {
          event: (type, data, id) => isMine && this.#hear(type, data, id),
          end: (failure, seconds) => isMine && this.#dropped(failure, seconds),
        },
      );
    });
  }

  #hear(type: string, data: string, id: string): void {
    this.#heardAt = this.#env.now();
    const [, topic = "", text] = /(?:(.*)\n)?([^]*)/.exec(data)!;
    if (type === "gap") {
      const gap = JSON.parse(data) as Gap;
      this.#listener.gap(gap);
      this.last = gap.resumed_at;
      return;
    }
    if (topic === "nitro.stream") return this.#control(JSON.parse(text!), id);
    if (!this.#isGreeted) return this.#dropped(failed(200));
    this.last = id || this.last;
    return this.#listener.message(topic, text!, topic && id, type); // an id holds until the next one
  }

  #control(news: { retry?: number; heartbeat?: number; stop?: boolean; for?: string; topics?: number }, id: string): void {
    if (news.stop) return this.#dropped(failed(204));
    if (news.heartbeat) {
      if (this.#inHeaders && !news.topics) return this.#dropped(failed(414));
      this.#heartbeat = news.heartbeat * 1000;
      this.#retry = news.retry || this.#retry;
      this.#isGreeted = this.wasOpen = true;
      this.#attempt = 0;
      this.#watch(this.#heartbeat * 2.5);
      const close = this.#close;
      this.#listener.greeted(news.for ?? NOBODY);
      if (close !== this.#close || this.state === "closed") return; // it was opened anew, or ended
    } else if (news.retry) this.#ending = news.retry;
    if (id) this.#listener.at((this.last = id));
    if (news.heartbeat) this.#tell("open"); // also if it was: others may be served now
  }

  /** Wait, and try again, unless there is no hope. */
  #dropped(failure?: Failure, seconds = 0): void {
    this.#release();
    const status = failure?.status;
    const isPassing = !status || status >= 500 || PASSING.includes(status) || (this.wasOpen && PASSING_LATER.includes(status));
    if (failure && !isPassing) {
      if (this.state !== "connecting") this.#tell("connecting");
      return this.#listener.refused(failure);
    }
    const { random } = this.#env;
    const atLeast = seconds && seconds * 1000 + this.#retry * random();
    const wait = this.#ending >= 0 ? this.#ending : backoff(this.#attempt, this.#retry, random) + atLeast;
    this.#attempt++;
    this.#timer = this.#env.after(wait, () => this.#connect());
    this.#tell("waiting", failure); // which may end it
  }

  /** Let go of a line on which nothing comes for so long. A timer that is late has slept: once, what came meanwhile goes first. */
  #watch(limit: number, isForgiven?: boolean): void {
    const due = Math.max(this.#heardAt + limit, this.#env.now() + 1000);
    this.#watchdog?.();
    this.#watchdog = this.#env.after(due - this.#env.now(), () => {
      const now = this.#env.now();
      const isSilent = now - this.#heardAt >= limit;
      if (isSilent && (isForgiven || now - due < 2000)) this.#dropped();
      else this.#watch(limit, isSilent);
    });
  }

  #tell(state: State, failure?: Failure): void {
    this.state = state;
    this.failure = failure;
    this.#listener.state(state, failure);
  }
}

/** Headers that name the topics; undefined where a URL has room for them. */
function parcels(topics: string[]): Headers | undefined {
  if (topics.join("&topic=").length <= MOST_IN_URL) return undefined;
  return Object.fromEntries(topics.join().match(PARCEL)!.map((parcel, place) => [`Nitro-Topics-${place + 1}`, parcel]));
}
