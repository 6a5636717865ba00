// The host: it knows the members, and who of them may share its line.
//
// Who joins a line that is read already proves first that it is the same user and may hear its topics: by a probe, which is
// answered with a greeting and ends. What one may not hear ends that one alone. Who may hear it, but not with the others,
// since it is somebody else or asks for too much, has to go apart.

import type { Env, Undo } from "./env.js";
import { HEADERS_WITHIN } from "./handlers.js";
import { Line, LONGEST_PAUSE, type Member, type Owner, PAUSE } from "./line.js";
import { type Config, CONFIRM_EACH, FORGETS_AFTER, type Tell, type ToHost } from "./protocol.js";
import { Stream } from "./stream.js";
import { type Failure, failed, type Headers } from "./transports.js";

type Join = Extract<ToHost, { do: "join" }>;

const OTHER_USER = failed(419);
const FRESH = { isNewcomer: true, probedAt: -LONGEST_PAUSE };

interface Probe {
  stream: Stream;
  end: () => void;
}

interface Question {
  member: Member;
  give: (headers: Headers | null) => void;
}

export class Host implements Owner {
  readonly env: Env;
  readonly config: Config;
  /** The lock that it holds, or whatever tells it from others. */
  readonly name: string;
  #members = new Map<string, Member>();
  #line: Line;
  #probes = new Map<Member, Probe>();
  #questions = new Map<number, Question>();
  #count = 0;
  #sweeping: Undo | null = null;

  constructor(env: Env, config: Config, name: string) {
    this.env = env;
    this.config = config;
    this.name = name;
    this.#line = new Line(this);
  }

  hear(name: string, tell: Tell, request: ToHost): void {
    const member = this.#members.get(name);
    if (member) member.heardAt = this.env.now();
    if (request.do === "join") this.#join(name, tell, request, member);
    else if (request.do === "ask") tell({ is: member ? "here" : "new", host: this.name });
    else if (!member) return;
    else if (request.do === "leave") this.#forget(member, request.isForGood);
    else if (request.do === "wake") this.#wake(member);
    else if (request.do === "headers") this.#questions.get(request.number)?.give(request.headers ?? null);
    else {
      member.unconfirmed -= CONFIRM_EACH;
      if (member.isAsleep && member.unconfirmed < CONFIRM_EACH) this.#join(name, tell, { ...member, do: "join", turn: 0, last: request.last }, member);
    }
  }

  end(): void {
    for (const member of [...this.#members.values()]) this.#forget(member, true);
    this.#line.end();
    this.#sweeping?.();
  }

  headers(member: Member, give: (headers: Headers | null) => void): void {
    if (!this.config.hasHeaders) return give({});
    const number = ++this.#count;
    const answer = (headers: Headers | null) => {
      undo();
      if (this.#questions.delete(number)) give(headers);
    };
    const undo = this.env.after(HEADERS_WITHIN, () => answer(null));
    this.#questions.set(number, { member, give: answer });
    member.tell({ is: "headers", number });
  }

  greeted(user: string, giver: Member | undefined): void {
    const line = this.#line;
    // its page has another user's token by now; the others have their own
    if (giver && line.user && line.user !== user && !this.#prove(giver, user)) return line.again();
    line.user = user;
    let isMisplaced = false;
    for (const member of [...line.readers]) {
      const { last } = member;
      if (giver && member !== giver && (!member.user || member.isOfPageBefore)) {
        line.remove(member, false); // it was not its token
        this.#prepare(member, 0);
      } else if (this.#prove(member, user)) isMisplaced ||= member.last !== last;
    }
    if (isMisplaced || !line.readers.size) line.again();
  }

  /**
   * Those who are new have asked for too much, and go apart. Where nobody is, or everybody, the last one stays, and the
   * others join again, each by itself.
   */
  refused(failure: Failure): void {
    const line = this.#line;
    const members = [...line.readers];
    const newcomers = members.filter(({ isNewcomer }) => isNewcomer);
    const areSomeNew = newcomers.length && newcomers.length < members.length;
    for (const member of areSomeNew ? newcomers : members.slice(0, -1)) {
      if (areSomeNew) this.#part(member);
      else {
        line.remove(member, false);
        this.#prepare(member, 0);
      }
    }
    if (members.length > 1) return line.again();
    line.end();
    for (const member of members) this.#expel(member, failure);
  }

  #join(name: string, tell: Tell, request: Join, known?: Member): void {
    const { topics, last, user, isOfPageBefore, turn } = request;
    // it may stand where it stood before, so nothing that comes now is given to it before it is served
    const now = { tell, topics, last, unconfirmed: 0, isAsleep: false, isWaiting: true, heardAt: this.env.now() };
    const isGreeted = user && !isOfPageBefore; // as it says itself: here, or elsewhere while this host was not heard
    const whose = isGreeted || !known?.user || known.isOfPageBefore ? { user, isOfPageBefore } : {};
    const member: Member = Object.assign(known ?? { ...FRESH, name }, now, whose) as Member;
    this.#members.set(name, member);
    this.#sweeping ??= this.env.after(FORGETS_AFTER / 4, this.#sweep);
    if (turn) tell({ is: "joined", turn });
    if (member.user && !member.isOfPageBefore) tell({ is: "user", user: member.user }); // what it was told before, it may not have heard
    const line = this.#line;
    const isIn = line.readers.has(member);
    const hasTopics = topics?.length !== 0;
    if (!hasTopics || (isIn ? line.covers(topics) || line.readers.size === 1 : this.#needsNoProof(topics))) {
      this.#stopProbe(member);
      if (!hasTopics) {
        line.remove(member, false);
        tell({ is: "state", state: "waiting" });
      } else if (!line.user || this.#prove(member, line.user)) line.add(member);
      return;
    }
    if (!isIn) tell({ is: "state", state: "connecting" });
    if (!this.#probes.has(member)) this.#prepare(member, known ? PAUSE : 0);
  }

  /** Whether the first request speaks for it, or whoever shares the line has said that it is one user's. */
  #needsNoProof(topics: string[] | null): boolean {
    const { isTrusted, hasHeaders } = this.config;
    const line = this.#line;
    return (!line.hasBegun && !(hasHeaders && line.readers.size)) || (isTrusted && line.covers(topics));
  }

  /** Let it in if a probe is right. Who asks for more all the time is probed as seldom as a line is read anew. */
  #prepare(member: Member, pause: number): void {
    const { env, config } = this;
    const line = this.#line;
    const url = new URL(config.url);
    url.searchParams.append("probe", "1");
    let asked: string[] | null;
    this.#stopProbe(member);
    member.isWaiting = true; // or what is heard meanwhile would move it on
    const end = () => {
      this.#probes.delete(member);
      undo();
      stream.end();
    };
    const isAskedAgain = () => asked !== member.topics && (this.#prepare(member, PAUSE), true); // it wants something else by now
    const stream = new Stream(env, { url: url.href, credentials: config.credentials }, {
      wanted: () => ({ topics: (asked = member.topics), last: "" }),
      headers: (give) => this.headers(member, give),
      state: (state, failure) => state === "waiting" && member.tell({ is: "state", state, failure }),
      greeted: (user) => {
        end();
        const isSame = !line.user || line.user === user;
        if (!isSame && config.hasHeaders) return this.#part(member); // its own host proves it, and whether its place is its own
        if (!this.#prove(member, user) || isAskedAgain()) return;
        // somebody else has logged in: the others are asked, too, and nothing that they heard is given to this one
        if (!isSame) line.again();
        line.add(member);
      },
      refused: (failure) => isAskedAgain() || this.#expel(member, failure),
      message: () => {},
      gap: () => {},
      at: () => {},
    });
    stream.wasOpen = !!member.user && !member.isOfPageBefore;
    this.#probes.set(member, { stream, end });
    const undo = env.after(Math.max(pause, member.probedAt + LONGEST_PAUSE - env.now()), () => {
      member.probedAt = env.now();
      stream.open();
    });
  }

  #stopProbe(member: Member): void {
    this.#probes.get(member)?.end();
  }

  /** It is this user's, as a greeting says that was asked for after it had joined. False if it is not, and has to go. */
  #prove(member: Member, user: string): boolean {
    if (member.user && member.user !== user) {
      if (member.isOfPageBefore) member.last = ""; // somebody else's place in the log
      else if (member.user.startsWith("u")) {
        this.#expel(member, OTHER_USER);
        return false;
      } else member.tell({ is: "gap", gap: { reason: "rights", resumed_at: member.last } });
    }
    if (member.user !== user || member.isOfPageBefore) member.tell({ is: "user", user });
    member.user = user;
    member.isOfPageBefore = false;
    return true;
  }

  /** It has to have a stream of its own. */
  #part(member: Member): void {
    this.#forget(member, false);
    member.tell({ is: "apart" });
  }

  #expel(member: Member, failure: Failure): void {
    this.#forget(member, false);
    member.tell({ is: "state", state: "closed", failure });
  }

  #forget(member: Member, isForGood: boolean): void {
    this.#members.delete(member.name);
    this.#line.remove(member, isForGood);
    for (const { member: asked, give } of [...this.#questions.values()]) if (asked === member) give(null);
    this.#stopProbe(member);
  }

  #wake(member: Member): void {
    this.#line.wake();
    this.#probes.get(member)?.stream.wake();
  }

  #sweep = (): void => {
    this.#sweeping = this.#members.size ? this.env.after(FORGETS_AFTER / 4, this.#sweep) : null;
    for (const member of [...this.#members.values()]) if (this.env.now() - member.heardAt > FORGETS_AFTER) this.#forget(member, false);
  };
}
