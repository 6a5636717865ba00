// A line: one stream, and the members that share it. It reads what any of them wants, and tells each what it asked for.

import type { Env, Undo } from "./env.js";
import { isIncomplete, isKnown, isOneLog, NO_ROWS } from "./position.js";
import { type Config, MOST_UNCONFIRMED, type Tell } from "./protocol.js";
import { type Gap, type Listener, type State, Stream } from "./stream.js";
import { listed, type Room } from "./rooms.js";
import { matches, PRESENCE } from "./topics.js";
import type { Failure, Headers } from "./transports.js";

export interface Member {
  name: string;
  tell: Tell;
  topics: string[] | null;
  /** Where it stands. */
  last: string;
  /** For whom it has been greeted; empty before. */
  user: string;
  /** Whether `user` is what a page before this one was greeted with. */
  isOfPageBefore: boolean;
  /** It asked for what is not read yet: it stands still until the next attempt. */
  isWaiting: boolean;
  /** No attempt that asked for it has succeeded yet. */
  isNewcomer: boolean;
  unconfirmed: number;
  isAsleep: boolean;
  heardAt: number;
  probedAt: number;
}

interface Recent {
  topic: string;
  text: string;
  id: string;
}

/** Whom it belongs to, and who decides for it. */
export interface Owner {
  env: Env;
  config: Config;
  /** Ask a member for headers; null if it has none. */
  headers(member: Member, give: (headers: Headers | null) => void): void;
  /** It was greeted: those who are not this user's have to leave. `giver` gave the headers. */
  greeted(user: string, giver: Member | undefined): void;
  refused(failure: Failure): void;
}

const MOST_RECENT = 256;
/** A page that is reloaded is back before this; topics that nobody wants any more are read until then. */
const SETTLES_AFTER = 3000;
/** Topics that change again and again are read anew after this pause, and after twice as long the next time. */
export const PAUSE = 20;
export const LONGEST_PAUSE = 500;

export class Line implements Listener {
  readonly readers = new Set<Member>();
  /** For whom it was greeted; empty before. */
  user = "";
  /** Whether its first request was sent: until then it speaks for whoever joins. */
  hasBegun = false;
  #owner: Owner;
  #stream: Stream;
  #topics: string[] | null = null; // what is read
  #recent: Recent[] = []; // what came behind `since`, for who joins with an id of its own
  #since = "";
  #rooms = new Map<string, Room>(); // who is where, by topic: they are told once, and who joins later gets them, too
  #newest = ""; // an id of the newest joiner's: of the log that the server has now, most likely
  #isReading = false; // an attempt is on its way
  #pause = PAUSE;
  #begunAt = -LONGEST_PAUSE * 3;
  #opening: Undo | null = null;
  #settling: Undo = () => {};
  #tried = new Set<Member>(); // those whose headers were of no use
  #giver: Member | undefined;
  #failure: Failure | undefined; // what the last one of them was answered

  constructor(owner: Owner) {
    this.#owner = owner;
    this.#stream = new Stream(owner.env, owner.config, this);
  }

  /** Whether nothing has to be read anew for these topics. */
  covers(topics: string[] | null): boolean {
    const read = this.#topics;
    if (this.#stream.state === "closed") return false;
    return !topics || topics.every((topic) => read?.some((own) => matches(own, topic))); // a star is a letter that only a star takes
  }

  /** Serve a member that is new, that asks for other topics than before, or that woke up. */
  add(member: Member): void {
    const stream = this.#stream;
    const isNew = !this.readers.has(member);
    this.readers.add(member);
    if (member.user) stream.wasOpen ||= !member.isOfPageBefore;
    if (member.last) this.#newest = member.last;
    if (stream.state === "open" && stream.last && !isOneLog(stream.last, member.last)) this.#place(member, stream.last);
    const had = this.#recent.map(({ id }) => isKnown(id, member.last)).lastIndexOf(true);
    const isBehind = member.last === NO_ROWS
      ? !isIncomplete(this.#since) // else what came since is all rows, and what became of them
      : member.last && had < 0 && !isKnown(stream.last, member.last) && !isKnown(this.#since, member.last);
    member.isWaiting = !!isBehind || !this.covers(member.topics);
    if (member.isWaiting) {
      member.isNewcomer = true;
      if (isNew || stream.state !== "waiting") this.openSoon(); // the next attempt is on its way, and a page is told anew
      if (isNew) member.tell({ is: "state", state: "connecting" });
    } else {
      if (member.last) for (const message of this.#recent.slice(had + 1)) this.#give(member, message);
      for (const [topic, room] of this.#rooms) this.#give(member, { topic, text: JSON.stringify(room), id: "" });
      this.#settleSoon();
      // an attempt that is on its way may have let go of what was open
      member.tell({ is: "state", state: (isNew || !member.last) && this.#isReading ? "connecting" : stream.state, failure: stream.failure });
    }
  }

  remove(member: Member, isForGood: boolean): void {
    if (!this.readers.delete(member)) return;
    this.#tried.delete(member);
    if (isForGood && !this.readers.size) this.end();
    else this.#settleSoon();
  }

  wake(): void {
    this.#stream.wake();
  }

  /** It is as new then. */
  end(): void {
    this.readers.clear();
    this.#settling();
    this.#opening?.();
    this.#opening = null;
    this.#stream.end();
    this.user = "";
    this.#stream.wasOpen = this.hasBegun = this.#isReading = false;
  }

  state(state: State, failure?: Failure): void {
    this.#isReading = state === "connecting";
    if (state === "waiting") this.#forgetTrials();
    const isOpen = state === "open";
    let isWhole = true;
    for (const member of this.readers) {
      if (isOpen && member.isWaiting) isWhole = false;
      else if (!isOpen || member.last) { // who has no place yet gets one by the gap that comes first, and would be lost without
        if (isOpen) member.isNewcomer = false;
        member.tell({ is: "state", state, failure });
      }
    }
    if (isOpen) isWhole ? this.#settleSoon() : this.openSoon();
  }

  /** Read anew with everybody's topics, soon: who asks at once with others is read with them. What is read goes on until then. */
  openSoon(): void {
    if (this.#opening || this.#isReading) return; // each attempt asks for all; the next one is opened when this one is greeted
    const { env } = this.#owner;
    const since = env.now() - this.#begunAt;
    if (since > 2 * LONGEST_PAUSE) this.#pause = PAUSE;
    const delay = this.#stream.state === "closed" ? 0 : Math.max(PAUSE, this.#pause - since);
    this.#opening = env.after(delay, () => {
      this.#opening = null;
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
      if (this.#topicsOfAll()?.length !== 0) this.#stream.open();
    });
  }

  /** Null if the server decides; then it does for all members. */
  #topicsOfAll(): string[] | null {
    const all = new Set([...this.readers].flatMap(({ topics }) => topics ?? [""]));
    return all.has("") ? null : [...all].sort();
  }

  /** Of an attempt: everybody's topics, from where the one stands who has had least. */
  wanted(): { topics: string[] | null; last: string } {
    this.#opening?.();
    this.#opening = null;
    const { state, last } = this.#stream;
    const ids: string[] = [];
    for (const member of this.readers) {
      if (state === "open" && last && member.last && !isOneLog(last, member.last)) this.#place(member, last);
      member.isWaiting = false;
      if (member.last && !member.isAsleep) ids.push(member.last); // and not where the attempt before began: it may have been another's log
    }
    const newest = ids.includes(this.#newest) ? this.#newest : ids.at(-1)!;
    let from = "";
    for (const id of ids) if (isIncomplete(id) || (isOneLog(id, newest) && (!from || isKnown(id, from)))) from = id;
    const topics = this.#topicsOfAll();
    if (topics?.join() !== this.#topics?.join()) this.#forgetTrials(); // they were of others
    this.#topics = topics;
    this.#since = from;
    this.#recent = [];
    this.#rooms.clear();
    this.hasBegun = this.#isReading = true;
    this.#begunAt = this.#owner.env.now();
    return { topics, last: from };
  }

  /** The newest member's first; the next one's if it has none, or if they are refused. */
  headers(give: (headers: Headers | null) => void): void {
    const next = [...this.readers].reverse().find((member) => !this.#tried.has(member));
    this.#giver = this.#owner.config.hasHeaders ? next : undefined;
    if (!next) {
      const failure = this.#failure;
      this.#forgetTrials();
      return failure ? this.#blame(failure) : give(null);
    }
    this.#tried.add(next);
    return this.#owner.headers(next, (headers) => (headers ? give(headers) : this.headers(give)));
  }

  /** It counts as reading until it is settled: who joins now doesn't open it. */
  refused(failure: Failure): void {
    const isOfToken = this.#giver && (failure.status === 401 || failure.status === 403);
    this.#failure = failure;
    if (isOfToken && this.readers.size) this.#stream.open();
    else this.#blame(failure);
  }

  #blame(failure: Failure): void {
    this.#forgetTrials();
    if (this.readers.size && this.#topicsOfAll()?.join() !== this.#topics?.join()) this.#stream.open(); // it was another's fault
    else this.#owner.refused(failure);
  }

  #forgetTrials(): void {
    this.#tried.clear();
    this.#failure = undefined;
  }

  greeted(user: string): void {
    this.#forgetTrials();
    this.#isReading = false;
    this.#owner.greeted(user, this.#giver);
  }

  /** Ask again at once, from where the members are, as after somebody had to leave. It ends if nobody is left. */
  again(): void {
    if (this.readers.size) this.#stream.open();
    else this.end();
  }

  #settleSoon(): void {
    this.#settling();
    this.#settling = this.#owner.env.after(SETTLES_AFTER, () => {
      if (!this.readers.size) this.end();
      else if (this.#stream.state === "open" && this.#topicsOfAll()?.join() !== this.#topics?.join()) this.openSoon();
    });
  }

  message(topic: string, text: string, id: string): void {
    if (topic.startsWith(PRESENCE)) {
      const room = listed(this.#rooms.get(topic), JSON.parse(text));
      this.#rooms.set(topic, room);
      text = JSON.stringify(room);
      id = "";
    }
    const message = { topic, text, id };
    const before = this.#recent.at(-1);
    if (before && isIncomplete(id) && !isIncomplete(before.id)) [this.#recent, this.#since] = [[], id]; // all rows are read anew
    if (id && this.#recent.push(message) > MOST_RECENT) {
      const { id } = this.#recent.shift()!;
      this.#since = isIncomplete(id) ? "" : id; // nobody is at a part of the rows
    }
    for (const member of this.readers) this.#give(member, message);
  }

  #give(member: Member, { topic, text, id }: Recent): void {
    if (member.isAsleep || member.isWaiting || (id && isKnown(id, member.last))) return;
    if (id) member.last = id;
    if (topic && member.topics && !member.topics.some((pattern) => matches(pattern, topic))) return;
    if (++member.unconfirmed > MOST_UNCONFIRMED) member.isAsleep = true;
    else member.tell({ is: "message", topic, text, id });
  }

  gap(gap: Gap): void {
    const id = gap.resumed_at;
    this.#recent = [];
    this.#since = id;
    for (const member of this.readers) {
      const { last } = member;
      if (member.isWaiting || isKnown(id, last)) continue;
      // who stands further on than the stream may have lost nothing: it is read anew from there
      member.isWaiting = !isIncomplete(last) && isOneLog(id, last) && !isKnown(last, this.#stream.last);
      if (!member.isWaiting) this.#place(member, id, gap);
    }
    this.state("open");
  }

  /** It stands there now, and is told so: by a gap if there is one, as where it stood in another log. */
  #place(member: Member, id: string, gap: Gap | false = !isOneLog(id, member.last) && { reason: "epoch", resumed_at: id }): void {
    const isNew = !member.last;
    member.last = id;
    if (!member.isAsleep) member.tell(gap && !isNew ? { is: "gap", gap } : { is: "at", id });
  }

  at(id: string): void {
    this.#since ||= id;
    for (const member of this.readers) {
      // also where it stands: what only others hear has moved it on, and it does not know of that
      if (!member.isWaiting) this.#place(member, isKnown(id, member.last) ? member.last : id);
    }
  }
}
