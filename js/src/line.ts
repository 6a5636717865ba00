// The line: one stream, and the members that share it. It reads what any of them wants, and tells each what it asked for.

import { isKnown, isOneLog } from "./position.js";
import { type Config, CONFIRM_EACH, MOST_UNCONFIRMED, type Tell, type ToHost } from "./protocol.js";
import { type Gap, type State, Stream } from "./stream.js";
import { matches } from "./topics.js";
import type { Failure } from "./transports.js";

interface Member {
  tell: Tell;
  topics: string[] | null;
  last: string;
  unconfirmed: number;
  isAsleep: boolean;
}

interface Recent {
  topic: string;
  text: string;
  id: string;
}

const MOST_RECENT = 256;
/** A page that is reloaded is back before this; topics that nobody wants any more are read until then. */
const SETTLES_AFTER = 3000;

export class Line {
  #members = new Map<string, Member>();
  #stream: Stream;
  #topics: string[] | null = null;
  #recent: Recent[] = []; // what came behind `since`, for who joins with an id of its own
  #since = "";
  #settling: ReturnType<typeof setTimeout> | undefined;
  #opening: ReturnType<typeof setTimeout> | undefined;
  #from = "";
  #answers: ((headers: Record<string, string> | Promise<never>) => void)[] = [];

  constructor(config: Config) {
    const { url, credentials } = config;
    const headers = () =>
      new Promise<Record<string, string>>((resolve) => {
        this.#answers.push(resolve);
        for (const { tell } of this.#members.values()) tell({ is: "headers" });
      });
    this.#stream = new Stream(config.hasHeaders ? { url, credentials, headers } : { url, credentials }, {
      state: (state, failure) => this.#state(state, failure),
      message: (topic, text, id) => this.#message({ topic, text, id }),
      gap: (gap) => this.#gap(gap),
      at: (id) => this.#at(id),
    });
  }

  hear(name: string, tell: Tell, request: ToHost): void {
    const member = this.#members.get(name);
    if (request.do === "join") this.#join(name, tell, request.topics, request.last);
    else if (request.do === "leave") this.leave(name);
    else if (request.do === "wake") this.#stream.wake();
    else if (request.do === "ask") tell({ is: member ? "here" : "new" });
    else if (request.do === "headers") for (const answer of this.#answers.splice(0)) answer(request.headers ?? Promise.reject());
    else if (request.do === "heard" && member) {
      member.unconfirmed -= CONFIRM_EACH;
      if (member.isAsleep && member.unconfirmed < CONFIRM_EACH) this.#join(name, tell, member.topics, request.last);
    }
  }

  leave(name: string): void {
    if (this.#members.delete(name)) this.#settleSoon();
  }

  end(): void {
    this.#members.clear();
    clearTimeout(this.#settling);
    clearTimeout(this.#opening);
    this.#stream.end();
  }

  #join(name: string, tell: Tell, topics: string[] | null, last: string): void {
    const stream = this.#stream;
    if (last && stream.last && !isOneLog(last, stream.last)) {
      last = stream.last;
      tell({ is: "gap", gap: { reason: "epoch", resumed_at: last } });
    }
    const member: Member = { tell, topics, last: last || stream.last, unconfirmed: 0, isAsleep: false };
    this.#members.set(name, member);
    const isBehind = last && !isKnown(stream.last, last) && !isKnown(this.#since, last);
    if (stream.state === "closed" || isBehind || !this.#covers(topics)) this.#open(last);
    else {
      for (const message of this.#recent) this.#give(member, message);
      this.#settleSoon();
    }
    tell({ is: "state", state: stream.state, failure: stream.failure });
  }

  /** Read anew with everybody's topics, from `last` if it is the older one. Who joins at once with others, is read with them. */
  #open(last: string): void {
    const delay = this.#stream.state === "closed" ? 0 : 20;
    if (last && (!this.#from || isKnown(last, this.#from))) this.#from = last;
    this.#recent = [];
    this.#since = "";
    this.#stream.pause(); // what came now would move on those who wait for what is older
    clearTimeout(this.#opening);
    this.#opening = setTimeout(() => {
      const from = this.#from;
      const { last } = this.#stream;
      this.#from = "";
      this.#topics = this.#wanted();
      this.#since = !last || isKnown(from, last) ? from : last;
      if (this.#topics?.length === 0) this.#stream.end();
      else this.#stream.open(this.#topics, this.#since);
    }, delay);
  }

  /** Null if the server decides; then it does for all members. */
  #wanted(): string[] | null {
    const all = [...this.#members.values()].flatMap(({ topics }) => topics);
    return all.includes(null) ? null : ([...new Set(all)].sort() as string[]);
  }

  #covers(topics: string[] | null): boolean {
    return !topics || topics.every((topic) => this.#topics?.includes(topic));
  }

  #settleSoon(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      if (!this.#members.size) {
        this.#stream.end();
        this.#stream.last = "";
      } else if (this.#stream.state !== "closed" && this.#wanted()?.join() !== this.#topics?.join()) this.#open("");
    }, SETTLES_AFTER);
  }

  #state(state: State, failure?: Failure): void {
    for (const { tell } of this.#members.values()) tell({ is: "state", state, failure });
  }

  #message(message: Recent): void {
    if (message.id && this.#recent.push(message) > MOST_RECENT) this.#since = this.#recent.shift()!.id;
    for (const member of this.#members.values()) this.#give(member, message);
  }

  #give(member: Member, { topic, text, id }: Recent): void {
    if (member.isAsleep || (id && isKnown(id, member.last))) return;
    if (id) member.last = id;
    if (topic && member.topics && !member.topics.some((pattern) => matches(pattern, topic))) return;
    if (++member.unconfirmed > MOST_UNCONFIRMED) member.isAsleep = true;
    else member.tell({ is: "message", topic, text, id });
  }

  #gap(gap: Gap): void {
    this.#recent = [];
    this.#since = gap.resumed_at;
    for (const member of this.#members.values()) {
      if (isKnown(gap.resumed_at, member.last)) continue;
      const isConcerned = member.last && !member.isAsleep;
      member.last = gap.resumed_at;
      if (isConcerned) member.tell({ is: "gap", gap });
    }
  }

  #at(id: string): void {
    if (!this.#since) this.#since = id;
    for (const member of this.#members.values()) {
      if (member.isAsleep || isKnown(id, member.last)) continue;
      member.last = id;
      member.tell({ is: "at", id });
    }
  }
}
