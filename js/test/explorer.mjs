// test/run.ts
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { availableParallelism } from "node:os";

// src/topics.ts
var GRAMMAR = /^(?!nitro($|\.))(?!.*\*\*)[A-Za-z0-9_:*-]+(\.[A-Za-z0-9_:*-]+)*$/;
function checked(pattern) {
  if (typeof pattern !== "string" || pattern.length > 255 || !GRAMMAR.test(pattern)) {
    throw new TypeError(
      `${JSON.stringify(pattern)} is no pattern: "a-Z0-9_-:" in segments joined by ".", "*" for any text; "nitro." is reserved`
    );
  }
  return pattern === "ANY" ? "*" : pattern;
}
function matches(pattern, topic) {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === void 0) return pattern === topic;
  if (!topic.startsWith(first)) return false;
  let place2 = first.length;
  for (const literal of rest) {
    const found = topic.indexOf(literal, place2 + 1);
    if (found < 0) return false;
    place2 = found + literal.length;
  }
  return topic.length - last.length > place2 && topic.endsWith(last);
}

// src/handlers.ts
var Handlers = class {
  #byPattern = /* @__PURE__ */ new Map();
  #parse;
  #report;
  constructor(parse, report) {
    this.#parse = parse;
    this.#report = report;
  }
  /** Each call counts: who adds a handler twice is told twice. */
  add(pattern, handler) {
    const all = this.#byPattern.get(pattern) ?? /* @__PURE__ */ new Set();
    const own = { handler };
    this.#byPattern.set(pattern, all.add(own));
    return () => {
      if (all.delete(own) && !all.size && this.#byPattern.get(pattern) === all) this.#byPattern.delete(pattern);
    };
  }
  /** What was sent to this connection alone has no topic, and `*` hears it. Each handler gets data of its own. */
  hear(topic, text, id) {
    for (const pattern of [...this.#byPattern.keys()]) {
      if (pattern === "gap" || (topic ? !matches(pattern, topic) : pattern !== "*")) continue;
      this.tell(pattern, (handler) => handler(this.#parse(text), { topic, id }));
    }
  }
  /** One handler's error is everybody's to see, and stops nobody. */
  tell(pattern, call) {
    for (const { handler } of [...this.#byPattern.get(pattern) ?? []]) {
      try {
        call(handler);
      } catch (error) {
        this.#report(error);
      }
    }
  }
};

// src/position.ts
var split = (id) => id.split("-");
var isOneLog = (a, b) => split(a)[0] === split(b)[0];
function isKnown(id, last) {
  if (!last || !isOneLog(id, last)) return false;
  const [a = "", b = ""] = [split(id)[1], split(last)[1]];
  return a.length < b.length || a.length === b.length && a <= b;
}

// src/protocol.ts
var PROTOCOL = 2;
var CONFIRM_EACH = 100;
var MOST_UNCONFIRMED = 1e3;
var ASKS_EACH = 1e4;
var ANSWERS_WITHIN = 5e3;
var FORGETS_AFTER = 15e4;

// src/backoff.ts
var LONGEST = 3e4;
var backoff = (attempt, retry, random = Math.random) => random() * Math.min(LONGEST, retry * 2 ** attempt);

// src/transports.ts
var REASONS = {
  200: "No stream of Nitro's: return an EventSourceResponse.",
  204: "The server ended it for good.",
  401: "Log in, and connect again.",
  403: "You may not hear these topics.",
  414: "Too many topics for a URL: read them with nitro.requested_topics.",
  419: "Somebody else has logged in: reload the page."
};
var explain = (status) => REASONS[status] ?? `The server answered ${status}.`;

// src/stream.ts
var OPENS_WITHIN = 2e4;
var PASSING = [408, 425, 429];
var PASSING_LATER = [200, 404, 421];
var MOST_IN_URL = 4e3;
var NOBODY = "-";
var Stream = class {
  state = "closed";
  failure;
  last = "";
  /** Whether it has been open, so that the server is one of ours. */
  wasOpen = false;
  #env;
  #source;
  #listener;
  #attempt = 0;
  #retry = 2e3;
  #heartbeat = 15e3;
  #ending = -1;
  // what the server said at the end: how long to wait
  #isGreeted = false;
  #inHeaders = false;
  #close = () => {
  };
  #timer = () => {
  };
  #watchdog = () => {
  };
  #heardAt = 0;
  constructor(env, source, listener) {
    this.#env = env;
    this.#source = source;
    this.#listener = listener;
  }
  /** Read on, with what is wanted now. */
  open() {
    this.#attempt = 0;
    if (this.state !== "open") this.#tell("connecting");
    this.#connect();
  }
  end(failure) {
    this.#release();
    this.#tell("closed", failure);
  }
  /** There may be a network again, or somebody looks. */
  wake() {
    if (this.state === "waiting") this.#connect();
    else if (this.state === "open" && this.#env.now() - this.#heardAt > this.#heartbeat * 1.5) this.#dropped();
  }
  #release() {
    this.#close();
    this.#timer();
    this.#watchdog();
  }
  #connect() {
    this.#release();
    const { topics, last } = this.#listener.wanted();
    const { credentials } = this.#source;
    const url = new URL(this.#source.url);
    const add = (name, value2) => url.searchParams.append(name, value2);
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
    let close = () => {
    };
    this.#close = () => {
      isMine = false;
      close();
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
          end: (failure, seconds) => isMine && this.#dropped(failure, seconds)
        }
      );
    });
  }
  #hear(type, data, id) {
    this.#heardAt = this.#env.now();
    const [topic, text] = cut(data);
    if (type === "gap") {
      const gap = JSON.parse(data);
      this.last = gap.resumed_at;
      return this.#listener.gap(gap);
    }
    if (topic === "nitro.stream") return this.#control(JSON.parse(text), id);
    if (!this.#isGreeted) return this.#dropped({ status: 200, message: explain(200) });
    this.last = id || this.last;
    return this.#listener.message(topic, text, topic && id);
  }
  #control(news, id) {
    if (news.stop) return this.#dropped({ status: 204, message: explain(204) });
    if (news.heartbeat) {
      if (this.#inHeaders && !news.topics) return this.#dropped({ status: 414, message: explain(414) });
      this.#heartbeat = news.heartbeat * 1e3;
      this.#retry = news.retry || this.#retry;
      this.#isGreeted = this.wasOpen = true;
      this.#attempt = 0;
      this.#watch(this.#heartbeat * 2.5);
      const close = this.#close;
      this.#listener.greeted(news.for ?? NOBODY);
      if (close !== this.#close || this.state === "closed") return;
      if (this.state !== "open") this.#tell("open");
    } else if (news.retry) this.#ending = news.retry;
    if (id) this.#listener.at(this.last = id);
  }
  /** Wait, and try again, unless there is no hope. */
  #dropped(failure, seconds = 0) {
    this.#release();
    const status = failure?.status;
    const isPassing = !status || status >= 500 || PASSING.includes(status) || this.wasOpen && PASSING_LATER.includes(status);
    if (!isPassing) {
      if (this.state !== "connecting") this.#tell("connecting");
      return this.#listener.refused(failure);
    }
    const { random } = this.#env;
    const atLeast = seconds && seconds * 1e3 + this.#retry * random();
    const wait = this.#ending >= 0 ? this.#ending : backoff(this.#attempt, this.#retry, random) + atLeast;
    this.#attempt++;
    this.#timer = this.#env.after(wait, () => this.#connect());
    this.#tell("waiting", failure);
  }
  /** Let go of a line on which nothing comes for so long. A timer that is late has slept: once, what came meanwhile goes first. */
  #watch(limit, isForgiven) {
    const due = Math.max(this.#heardAt + limit, this.#env.now() + 1e3);
    this.#watchdog();
    this.#watchdog = this.#env.after(due - this.#env.now(), () => {
      const now = this.#env.now();
      const isSilent = now - this.#heardAt >= limit;
      if (isSilent && (isForgiven || now - due < 2e3)) this.#dropped();
      else this.#watch(limit, isSilent);
    });
  }
  #tell(state, failure) {
    this.state = state;
    this.failure = failure;
    this.#listener.state(state, failure);
  }
};
function cut(data) {
  const end = data.indexOf("\n");
  return [data.slice(0, Math.max(end, 0)), data.slice(end + 1)];
}
function parcels(topics) {
  if (topics.join("&topic=").length <= MOST_IN_URL) return void 0;
  const headers = {};
  let [number, length] = [1, 0];
  for (const topic of topics) {
    if ((length += topic.length + 1) > MOST_IN_URL) [number, length] = [number + 1, topic.length + 1];
    const name = `Nitro-Topics-${number}`;
    headers[name] = headers[name] ? `${headers[name]},${topic}` : topic;
  }
  return headers;
}

// src/line.ts
var MOST_RECENT = 256;
var SETTLES_AFTER = 3e3;
var PAUSE = 20;
var LONGEST_PAUSE = 500;
var Line = class {
  members = /* @__PURE__ */ new Set();
  /** For whom it was greeted; empty before. */
  user = "";
  #owner;
  #stream;
  #topics = null;
  // what is read
  #recent = [];
  // what came behind `since`, for who joins with an id of its own
  #since = "";
  #newest = "";
  // an id of the newest joiner's: of the log that the server has now, most likely
  #hasBegun = false;
  #isReading = false;
  // an attempt is on its way
  #pause = PAUSE;
  #begunAt = -LONGEST_PAUSE * 3;
  #opening = null;
  #settling = () => {
  };
  #tried = /* @__PURE__ */ new Set();
  // those whose headers were of no use
  #giver;
  constructor(owner) {
    this.#owner = owner;
    this.#stream = new Stream(owner.env, owner.config, this);
  }
  /** Whether its first request is still to be sent, and so speaks for whoever joins now. */
  get isFresh() {
    return !this.#hasBegun;
  }
  /** Whether nothing has to be read anew for these topics. */
  covers(topics) {
    const read = this.#topics;
    if (this.#stream.state === "closed") return false;
    return !topics || topics.every((topic) => read?.some((own) => own === topic || !topic.includes("*") && matches(own, topic)));
  }
  /** Serve a member that is new, that asks for other topics than before, or that woke up. */
  add(member) {
    const stream = this.#stream;
    const isNew = !this.members.has(member);
    this.members.add(member);
    if (member.user) stream.wasOpen ||= !member.isOfPageBefore;
    if (member.last) this.#newest = member.last;
    if (stream.state === "open" && stream.last) {
      if (!member.last) member.tell({ is: "at", id: member.last = stream.last });
      else if (!isOneLog(member.last, stream.last)) this.#lose(member, { reason: "epoch", resumed_at: stream.last });
    }
    const isBehind = member.last && !isKnown(stream.last, member.last) && !isKnown(this.#since, member.last);
    member.isWaiting = !!isBehind || !this.covers(member.topics);
    if (member.isWaiting) {
      member.isNewcomer = true;
      if (isNew || stream.state !== "waiting") this.openSoon();
      if (isNew) member.tell({ is: "state", state: "connecting" });
    } else {
      if (member.last) for (const message of this.#recent) this.#give(member, message);
      this.#settleSoon();
      member.tell({ is: "state", state: stream.state, failure: stream.failure });
    }
  }
  remove(member, isForGood) {
    if (!this.members.delete(member)) return;
    this.#tried.delete(member);
    if (isForGood && !this.members.size) this.end();
    else this.#settleSoon();
  }
  wake() {
    this.#stream.wake();
  }
  /** It is as new then. */
  end() {
    this.members.clear();
    this.#settling();
    this.#opening?.();
    this.#opening = null;
    this.#stream.end();
    this.#stream.last = this.#newest = this.user = "";
    this.#stream.wasOpen = this.#hasBegun = this.#isReading = false;
  }
  state(state, failure) {
    this.#isReading = state === "connecting";
    if (state === "waiting") this.#tried.clear();
    for (const { tell, isWaiting } of this.members) if (!isWaiting || state !== "open") tell({ is: "state", state, failure });
  }
  /** Read anew with everybody's topics, soon: who asks at once with others is read with them. What is read goes on until then. */
  openSoon() {
    if (this.#opening || this.#isReading) return;
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
  #topicsOfAll() {
    const all = [...this.members].flatMap(({ topics }) => topics);
    return all.includes(null) ? null : [...new Set(all)].sort();
  }
  /** Of an attempt: everybody's topics, from where the one stands who has had least. */
  wanted() {
    this.#opening?.();
    this.#opening = null;
    const { state, last } = this.#stream;
    const ids = this.#hasBegun ? [last] : [];
    for (const member of this.members) {
      if (!member.isWaiting) continue;
      if (state === "open" && member.last && !isOneLog(member.last, last)) this.#lose(member, { reason: "epoch", resumed_at: last });
      member.isWaiting = false;
      ids.push(member.last);
    }
    const newest = ids.includes(this.#newest) ? this.#newest : last;
    let from = "";
    for (const id of ids) if (isOneLog(id, newest || id) && (!from || isKnown(id, from))) from = id || from;
    this.#topics = this.#topicsOfAll();
    this.#since = from;
    this.#recent = [];
    this.#hasBegun = this.#isReading = true;
    this.#begunAt = this.#owner.env.now();
    return { topics: this.#topics, last: from };
  }
  /** The newest member's first; the next one's if it has none, or if they are refused. */
  headers(give) {
    const next = [...this.members].reverse().find((member) => !this.#tried.has(member));
    this.#giver = next;
    if (!next) {
      this.#tried.clear();
      return give(null);
    }
    this.#tried.add(next);
    return this.#owner.headers(next, (headers) => headers ? give(headers) : this.headers(give));
  }
  refused(failure) {
    const isOfToken = this.#owner.config.hasHeaders && (failure.status === 401 || failure.status === 403);
    if (isOfToken && [...this.members].some((member) => !this.#tried.has(member))) return this.#stream.open();
    this.#tried.clear();
    if (this.members.size && this.#topicsOfAll()?.join() !== this.#topics?.join()) return this.#stream.open();
    return this.#owner.refused(failure);
  }
  greeted(user) {
    this.#tried.clear();
    this.#isReading = false;
    this.#owner.greeted(user, this.#giver);
    if (this.#isReading || this.#stream.state === "closed") return;
    for (const member of this.members) {
      if (member.isWaiting) continue;
      member.isNewcomer = false;
      member.tell({ is: "state", state: "open" });
    }
    if ([...this.members].some(({ isWaiting }) => isWaiting)) this.openSoon();
    else this.#settleSoon();
  }
  /** Ask again at once, as after somebody had to leave. */
  again() {
    this.#stream.open();
  }
  /** Ask again from where the members are: what was asked for was somebody else's. */
  restart() {
    this.#stream.last = "";
    for (const member of this.members) member.isWaiting = true;
    this.#stream.open();
  }
  #settleSoon() {
    this.#settling();
    this.#settling = this.#owner.env.after(SETTLES_AFTER, () => {
      if (!this.members.size) this.end();
      else if (this.#stream.state === "open" && this.#topicsOfAll()?.join() !== this.#topics?.join()) this.openSoon();
    });
  }
  message(topic, text, id) {
    const message = { topic, text, id };
    if (id && this.#recent.push(message) > MOST_RECENT) this.#since = this.#recent.shift().id;
    for (const member of this.members) this.#give(member, message);
  }
  #give(member, { topic, text, id }) {
    if (member.isAsleep || member.isWaiting || id && isKnown(id, member.last)) return;
    if (id) member.last = id;
    if (topic && member.topics && !member.topics.some((pattern) => matches(pattern, topic))) return;
    if (++member.unconfirmed > MOST_UNCONFIRMED) member.isAsleep = true;
    else member.tell({ is: "message", topic, text, id });
  }
  gap(gap) {
    this.#recent = [];
    this.#since = gap.resumed_at;
    for (const member of this.members) {
      if (member.isWaiting || isKnown(gap.resumed_at, member.last)) continue;
      this.#lose(member, gap);
    }
  }
  #lose(member, gap) {
    const isNew = !member.last;
    member.last = gap.resumed_at;
    if (!member.isAsleep) member.tell(isNew ? { is: "at", id: member.last } : { is: "gap", gap });
  }
  at(id) {
    if (!this.#since) this.#since = id;
    for (const member of this.members) {
      if (member.isAsleep || member.isWaiting || isKnown(id, member.last)) continue;
      if (member.last && !isOneLog(id, member.last)) this.#lose(member, { reason: "epoch", resumed_at: id });
      else {
        member.last = id;
        member.tell({ is: "at", id });
      }
    }
  }
};

// src/host.ts
var HEADERS_WITHIN = 5e3;
var OTHER_USER = { status: 419, message: explain(419) };
var FRESH = { isWaiting: false, isNewcomer: true, topics: null, last: "", unconfirmed: 0, isAsleep: false, heardAt: 0, probedAt: -LONGEST_PAUSE };
var Host = class {
  env;
  config;
  /** The lock that it holds, or whatever tells it from others. */
  name;
  #members = /* @__PURE__ */ new Map();
  #line;
  #probes = /* @__PURE__ */ new Map();
  #questions = /* @__PURE__ */ new Map();
  #count = 0;
  #sweeping = null;
  constructor(env, config, name) {
    this.env = env;
    this.config = config;
    this.name = name;
    this.#line = new Line(this);
  }
  hear(name, tell, request) {
    const member = this.#members.get(name);
    if (member) member.heardAt = this.env.now();
    if (request.do === "join") this.#join(name, tell, request, member);
    else if (request.do === "ask") tell({ is: member ? "here" : "new", host: this.name });
    else if (!member) return;
    else if (request.do === "leave") this.leave(name, request.isForGood);
    else if (request.do === "wake") this.#wake(member);
    else if (request.do === "headers") this.#questions.get(request.number)?.give(request.headers ?? null);
    else if (request.do === "heard") {
      member.unconfirmed -= CONFIRM_EACH;
      if (member.isAsleep && member.unconfirmed < CONFIRM_EACH) this.#rejoin(member, request.last);
    }
  }
  leave(name, isForGood = false) {
    const member = this.#members.get(name);
    if (member) this.#forget(member, isForGood);
  }
  end() {
    for (const member of [...this.#members.values()]) this.#forget(member, true);
    this.#line.end();
    this.#sweeping?.();
  }
  headers(member, give) {
    if (!this.config.hasHeaders) return give({});
    const number = ++this.#count;
    const answer = (headers) => {
      undo();
      if (this.#questions.delete(number)) give(headers);
    };
    const undo = this.env.after(HEADERS_WITHIN, () => answer(null));
    this.#questions.set(number, { member, give: answer });
    member.tell({ is: "headers", number });
  }
  greeted(user, giver) {
    const line = this.#line;
    if (this.config.hasHeaders && giver && line.user && line.user !== user) {
      if (line.members.has(giver)) this.#expel(giver, OTHER_USER);
      if (line.members.size) line.again();
      return;
    }
    line.user = user;
    let isMisplaced = false;
    for (const member of [...line.members]) {
      const { last } = member;
      if (this.#prove(member, user)) isMisplaced ||= member.last !== last;
    }
    if (!line.members.size) line.end();
    else if (isMisplaced) line.restart();
  }
  /**
   * Those who are new have asked for too much, and go apart. Where nobody is, or everybody, the first one stays, and the
   * others join again, each by itself.
   */
  refused(failure) {
    const line = this.#line;
    const members = [...line.members];
    const newcomers = members.filter(({ isNewcomer }) => isNewcomer);
    const areSomeNew = newcomers.length && newcomers.length < members.length;
    for (const member of areSomeNew ? newcomers : members.slice(1)) {
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
  #join(name, tell, request, known) {
    const { topics, last, user, isOfPageBefore, turn } = request;
    const member = known ?? { ...FRESH, name, tell, user, isOfPageBefore };
    Object.assign(member, { tell, topics, last, unconfirmed: 0, isAsleep: false, heardAt: this.env.now() });
    this.#members.set(name, member);
    this.#sweeping ??= this.env.after(FORGETS_AFTER / 4, this.#sweep);
    if (turn) tell({ is: "joined", turn });
    const line = this.#line;
    const isIn = line.members.has(member);
    const hasTopics = topics?.length !== 0;
    if (!hasTopics || (isIn ? line.covers(topics) || line.members.size === 1 : this.#needsNoProof(topics))) {
      this.#stopProbe(member);
      if (hasTopics) return line.add(member);
      line.remove(member, false);
      return tell({ is: "state", state: "waiting" });
    }
    if (!isIn) tell({ is: "state", state: "connecting" });
    if (!this.#probes.has(member)) this.#prepare(member, known ? PAUSE : 0);
  }
  /** Whether the first request speaks for it, or whoever shares the line has said that it is one user's. */
  #needsNoProof(topics) {
    const { isTrusted, hasHeaders } = this.config;
    const line = this.#line;
    return line.isFresh && !(hasHeaders && line.members.size) || isTrusted && line.covers(topics);
  }
  /** Let it in if a probe is right. Who asks for more all the time is probed as seldom as a line is read anew. */
  #prepare(member, pause) {
    const { env, config } = this;
    const line = this.#line;
    const url = new URL(config.url);
    url.searchParams.append("probe", "1");
    let asked;
    member.isWaiting = true;
    const end = () => {
      this.#probes.delete(member);
      undo();
      stream.end();
    };
    const stream = new Stream(env, { url: url.href, credentials: config.credentials }, {
      wanted: () => ({ topics: asked = member.topics, last: "" }),
      headers: (give) => this.headers(member, give),
      state: (state, failure) => state === "waiting" && member.tell({ is: "state", state, failure }),
      greeted: (user) => {
        end();
        if (!this.#prove(member, user)) return;
        if (asked !== member.topics) return this.#prepare(member, PAUSE);
        const isSame = !line.user || line.user === user;
        if (!isSame && config.hasHeaders) return this.#part(member);
        line.add(member);
        if (!isSame) line.again();
      },
      refused: (failure) => this.#expel(member, failure),
      message: () => {
      },
      gap: () => {
      },
      at: () => {
      }
    });
    stream.wasOpen = !!member.user && !member.isOfPageBefore;
    this.#probes.set(member, { stream, end });
    const undo = env.after(Math.max(pause, member.probedAt + LONGEST_PAUSE - env.now()), () => {
      member.probedAt = env.now();
      stream.open();
    });
  }
  #stopProbe(member) {
    this.#probes.get(member)?.end();
  }
  /** It is this user's, as a greeting says that was asked for after it had joined. False if it is not, and has to go. */
  #prove(member, user) {
    if (member.user && member.user !== user) {
      if (member.isOfPageBefore) member.last = "";
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
  #part(member) {
    this.#forget(member, false);
    member.tell({ is: "apart" });
  }
  #expel(member, failure) {
    this.#forget(member, false);
    member.tell({ is: "state", state: "closed", failure });
  }
  #forget(member, isForGood) {
    this.#members.delete(member.name);
    this.#line.remove(member, isForGood);
    for (const { member: asked, give } of [...this.#questions.values()]) if (asked === member) give(null);
    this.#stopProbe(member);
  }
  #rejoin(member, last) {
    const { name, tell, topics, user, isOfPageBefore } = member;
    this.#join(name, tell, { do: "join", turn: 0, topics, last, user, isOfPageBefore }, member);
  }
  #wake(member) {
    this.#line.wake();
    this.#probes.get(member)?.stream.wake();
  }
  #sweep = () => {
    this.#sweeping = this.#members.size ? this.env.after(FORGETS_AFTER / 4, this.#sweep) : null;
    for (const member of [...this.#members.values()]) if (this.env.now() - member.heardAt > FORGETS_AFTER) this.#forget(member, false);
  };
};

// src/ways.ts
var lifeOf = (name) => `nitro life ${name}`;
function listen(host, forget = (_) => {
}) {
  const watched = /* @__PURE__ */ new Map();
  return (name, tell, request) => {
    if (request.do === "join" && !watched.has(name)) {
      const gone = () => {
        watched.delete(name);
        host.leave(name);
        forget(name);
      };
      watched.set(name, host.env.locks?.watch(lifeOf(name), gone) ?? (() => {
      }));
    }
    if (request.do === "leave") {
      watched.get(name)?.();
      watched.delete(name);
    }
    host.hear(name, tell, request);
  };
}
function alone(env, config, name, tell) {
  const host = new Host(env, config, name);
  return { kind: "alone", post: (request) => host.hear(name, tell, request), close: () => host.end() };
}
function throughWorker(env, script, key, config, name, tell, gone) {
  let watch;
  const hear = (news) => {
    if ("host" in news) watch ??= env.locks?.watch(lifeOf(news.host), () => gone(false));
    tell(news);
  };
  const port = env.worker(script, key, hear, () => gone(true));
  port.post({ name, config });
  return {
    kind: "worker",
    post: port.post,
    close() {
      watch?.();
      port.close();
    }
  };
}
function serve(env) {
  const own = env.name();
  let host;
  let hear;
  let isReady = false;
  let waiting = [];
  const ready = () => {
    isReady = true;
    for (const tell of waiting.splice(0)) tell();
  };
  if (env.locks) env.locks.hold(lifeOf(own), ready);
  else ready();
  return (port) => {
    const tell = (news) => port.post(news);
    let name = "";
    return (data) => {
      if ("do" in data) return hear?.(name, tell, data);
      host ??= new Host(env, data.config, own);
      hear ??= listen(host);
      name = data.name;
      const welcome = () => tell({ is: "new", host: own });
      if (isReady) welcome();
      else waiting.push(welcome);
    };
  };
}
function throughLeader(env, key, config, name, tell) {
  const locks = env.locks;
  const open = env.channel;
  let host;
  let hear;
  let isClosed = false;
  let resign;
  let leader = "";
  const members = /* @__PURE__ */ new Map();
  const forget = (member) => {
    members.get(member)?.close();
    members.delete(member);
  };
  const step = (down) => {
    resign = down;
    if (isClosed) return down();
    host = new Host(env, config, name);
    hear = listen(host, forget);
    channel.post({ isLed: name });
    tell({ is: "new", host: name });
  };
  const over = () => {
    host?.end();
    host = hear = resign = void 0;
    for (const member of [...members.keys()]) forget(member);
    leader = "";
    if (!isClosed) channel.post({ from: name, request: { do: "ask" } });
  };
  const channel = open(key, (parcel) => {
    if ("isLed" in parcel) host || tell({ is: "new", host: leader = parcel.isLed });
    else if (hear) {
      const { from, request } = parcel;
      const port = members.get(from) ?? open(`${key} ${from}`, () => {
      });
      if (request.do === "join") members.set(from, port);
      hear(from, (news) => port.post({ by: name, news }), request);
      if (request.do === "leave") forget(from);
      if (!members.has(from)) port.close();
    }
  });
  const inbox = open(`${key} ${name}`, ({ by, news }) => {
    if (host) return;
    if (by === leader) tell(news);
    else if ("host" in news) tell({ is: "new", host: leader = by });
  });
  let candidacy = locks.lead(key, false, step, over);
  const freeze = env.on("freeze", () => {
    if (!host) return;
    const down = resign;
    candidacy = locks.lead(key, false, step, over);
    down?.();
  });
  return {
    kind: "leader",
    post: (request) => hear ? hear(name, tell, request) : channel.post({ from: name, request }),
    replace() {
      candidacy();
      candidacy = locks.lead(key, true, step, over);
    },
    close() {
      isClosed = true;
      freeze();
      candidacy();
      resign?.();
      channel.close();
      inbox.close();
    }
  };
}

// src/route.ts
var TRIES_AGAIN_AFTER = 3e4;
var TRIES_AGAIN_AT_LATEST = 36e5;
var MOST_DEATHS = 3;
function makeRoute(env, { key, config, worker }, tell) {
  const name = env.name();
  const secondBest = key !== null && env.locks && env.channel ? "leader" : "alone";
  let way;
  let spare;
  let deaths = 0;
  let pause = TRIES_AGAIN_AFTER;
  let isHeard = false;
  let wasHeard = false;
  let letGo = () => {
  };
  let timer = () => {
  };
  let later = () => {
  };
  function use(kind) {
    isHeard = wasHeard = false;
    try {
      way = open(kind);
    } catch {
      return use(secondBest);
    }
    if (kind !== "worker") way.post({ do: "ask" });
    wait();
  }
  function open(kind) {
    let own;
    const hearOwn = (news) => hear(own, news);
    if (kind === "alone") own = alone(env, config, name, hearOwn);
    else if (kind === "leader") own = throughLeader(env, key, config, name, hearOwn);
    else own = throughWorker(env, worker, key, config, name, hearOwn, (isBroken) => lose(own, isBroken));
    return own;
  }
  function hear(from, news) {
    if (from && from === spare) adopt(from);
    if (from !== way) return;
    isHeard = wasHeard = true;
    if (news.is === "here") deaths = 0;
    else if (news.is === "apart") {
      later();
      way?.close();
      use("alone");
    } else tell(news);
  }
  function ask() {
    isHeard = false;
    way?.post({ do: "ask" });
    wait();
  }
  function wait() {
    const due = env.now() + ANSWERS_WITHIN;
    timer();
    timer = env.after(ANSWERS_WITHIN, () => {
      if (isHeard) timer = env.after(ASKS_EACH - ANSWERS_WITHIN, ask);
      else if (env.now() - due > 2e3 && wasHeard) ask();
      else lose(way, false);
    });
  }
  function lose(lost, isBroken) {
    if (!lost || lost !== way) return;
    if (lost.kind === "leader") {
      lost.replace();
      return wait();
    }
    if (!isBroken && wasHeard && ++deaths <= MOST_DEATHS) {
      lost.close();
      return use(lost.kind);
    }
    if (isBroken || wasHeard) lost.close();
    else spare = lost;
    tryLater();
    return use(secondBest);
  }
  function tryLater() {
    later = env.after(pause, () => {
      pause = Math.min(pause * 2, TRIES_AGAIN_AT_LATEST);
      spare?.close();
      try {
        spare = open("worker");
      } catch {
        spare = void 0;
      }
      tryLater();
    });
  }
  function adopt(found) {
    later();
    way?.post({ do: "leave", isForGood: false });
    way?.close();
    way = found;
    spare = void 0;
    pause = TRIES_AGAIN_AFTER;
    wait();
  }
  return {
    open() {
      const begin = () => use(key !== null && worker && env.worker ? "worker" : secondBest);
      if (key !== null && env.locks) letGo = env.locks.hold(lifeOf(name), begin);
      else begin();
    },
    post: (request) => way?.post(request),
    ask: () => void (wasHeard && ask()),
    close() {
      timer();
      later();
      spare?.close();
      way?.close();
      letGo();
    }
  };
}

// src/live.ts
var KEPT_FOR = 6e4;
var STARTS_WITHIN = 1e4;
var Live = class {
  /** `"waiting"`: it comes back by itself. `"closed"`: it does not. */
  state = "connecting";
  /** Why it is closed, or what it waits for. */
  error = null;
  /** Called at each change of `state`. */
  onstate = null;
  #env;
  #options;
  #handlers;
  #topics;
  #last;
  #startsNow = false;
  // and not where it stands
  #user = "";
  #isOfPageBefore = false;
  #storageKey;
  #unconfirmed = 0;
  #turn = 0;
  #isJoined = false;
  // whether what comes is the answer to the newest turn
  #makeRoute;
  #route = null;
  #undo = [];
  constructor(env, href, options) {
    this.#env = env;
    this.#options = options;
    const { topics, headers, credentials = "same-origin", share = true, worker = false } = options;
    this.#topics = topics ? new Set(topics.map(checked)) : null;
    this.#handlers = new Handlers(options.parse ?? JSON.parse, env.report);
    const key = `nitro ${PROTOCOL} ${JSON.stringify([href, !topics, !!headers, credentials, share])}`;
    this.#storageKey = `${key} ${this.#names()}`;
    const kept = options.since === void 0 ? this.#keptBefore() : null;
    this.#last = options.since ?? kept?.last ?? "";
    this.#user = kept?.user ?? "";
    this.#isOfPageBefore = !!kept;
    const isTrusted = share === false || typeof share === "string";
    const config = { url: href, credentials, hasHeaders: !!headers, isTrusted };
    this.#makeRoute = () => makeRoute(env, { key: share === false ? null : key, config, worker }, (news) => this.#hear(news));
    this.#undo = [env.on("hide", this.#leave), env.on("show", this.#comeBack), env.on("look", this.#look)];
    if (env.isPrerendering()) this.#undo.push(env.on("start", () => this.#enter()));
    else this.#enter();
  }
  on(pattern, handler) {
    return this.#handlers.add(pattern === "gap" ? pattern : checked(pattern), handler);
  }
  /** Hear these topics too, from now on. Throws a `TypeError` if it was made without topics. */
  subscribe(...topics) {
    const all = topics.map(checked);
    this.#change((own) => all.forEach((topic) => own.add(topic)));
  }
  /** Drop topics that were subscribed to in the same words. */
  unsubscribe(...topics) {
    this.#change((own) => topics.forEach((topic) => own.delete(topic === "ANY" ? "*" : topic)));
  }
  /** For good: nothing is heard any more, and nothing is held. */
  close() {
    this.#env.keep(this.#storageKey, null);
    this.#end(true);
    this.#tell("closed");
  }
  #names() {
    return this.#topics ? [...this.#topics].sort().join() : "";
  }
  #enter() {
    if (this.#route || this.state === "closed") return;
    this.#route = this.#makeRoute();
    this.#route.open();
  }
  #exit(isForGood) {
    const route = this.#route;
    this.#route = null;
    route?.post({ do: "leave", isForGood });
    route?.close();
  }
  #end(isForGood) {
    this.#exit(isForGood);
    for (const undo of this.#undo.splice(0)) undo();
  }
  #hear(news) {
    if (!this.#route) return;
    if (news.is === "new") {
      this.#isJoined = false;
      this.#turn++;
      this.#join();
    } else if (news.is === "joined") this.#isJoined ||= news.turn === this.#turn;
    else if (news.is === "headers") void this.#giveHeaders(this.#route, news.number);
    else if (!this.#isJoined || this.#topics?.size === 0 && ("id" in news || "gap" in news)) return;
    else if (news.is === "message") this.#message(news);
    else if (news.is === "at") this.#stand(news.id);
    else if (news.is === "user") [this.#user, this.#isOfPageBefore] = [news.user, false];
    else if (news.is === "gap") {
      if (news.gap.reason !== "rights" && isKnown(news.gap.resumed_at, this.#last)) return;
      this.#last = news.gap.resumed_at;
      this.#handlers.tell("gap", (handler) => handler(news.gap));
    } else if (news.is === "state") {
      if (news.state === "closed") this.#end(false);
      this.#tell(news.state, news.failure);
    }
  }
  #message({ topic, text, id }) {
    const isOld = id && !this.#stand(id);
    if (++this.#unconfirmed === CONFIRM_EACH) {
      this.#unconfirmed = 0;
      this.#route?.post({ do: "heard", last: this.#last });
    }
    if (!isOld) this.#handlers.hear(topic, text, id);
  }
  /** False if it stands there or behind already. */
  #stand(id) {
    this.#startsNow = false;
    const isNew = !isKnown(id, this.#last);
    if (isNew) this.#last = id;
    return isNew;
  }
  #join() {
    this.#unconfirmed = 0;
    this.#route?.post({
      do: "join",
      turn: this.#turn,
      topics: this.#topics && [...this.#topics],
      last: this.#startsNow ? "" : this.#last,
      user: this.#user,
      isOfPageBefore: this.#isOfPageBefore
    });
  }
  #change(change) {
    if (!this.#topics) throw new TypeError("It was made without topics: the server decides.");
    const before2 = this.#names();
    change(this.#topics);
    if (this.#names() === before2) return;
    if (!this.#topics.size) {
      this.#startsNow = true;
      this.#tell("waiting");
    }
    this.#join();
  }
  async #giveHeaders(route, number) {
    let headers;
    try {
      headers = Object.fromEntries(new Headers(await this.#options.headers?.()));
    } catch (error) {
      this.#env.report(error);
    }
    route.post(headers ? { do: "headers", number, headers } : { do: "headers", number });
  }
  #tell(state, failure) {
    if (state === this.state && !failure && !this.error) return;
    this.state = state;
    this.error = failure ?? null;
    try {
      this.onstate?.(state, this.error);
    } catch (error) {
      this.#env.report(error);
    }
  }
  /** What the page before left, if it was there just now. */
  #keptBefore() {
    const { before: before2, date, kept, keep, now } = this.#env;
    const key = this.#storageKey;
    if (!before2.has(key)) before2.set(key, { ...kept(key), until: now() + STARTS_WITHIN });
    keep(key, null);
    const found = before2.get(key);
    return found.last && now() < found.until && Math.abs(date() - found.date) < KEPT_FOR ? found : null;
  }
  #leave = () => {
    const { keep, kept, date } = this.#env;
    const other = kept(this.#storageKey)?.last;
    const last = other && isKnown(other, this.#last) ? other : this.#last;
    if (last) keep(this.#storageKey, { last, user: this.#user, date: date() });
    this.#exit(false);
  };
  #comeBack = () => {
    this.#env.keep(this.#storageKey, null);
    this.#enter();
  };
  #look = () => {
    if (!this.#env.isSeen() || !this.#env.isOnline()) return;
    this.#route?.post({ do: "wake" });
    this.#route?.ask();
  };
};

// test/world.ts
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = state + 1831565813 >>> 0;
    let mixed = Math.imul(state ^ state >>> 15, 1 | state);
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}
var Clock = class {
  now = 0;
  #heap = [];
  #count = 0;
  after(delay, act) {
    const entry = { at: this.now + Math.max(0, delay), order: this.#count++, act };
    const heap = this.#heap;
    let place2 = heap.push(entry) - 1;
    while (place2 > 0) {
      const above = place2 - 1 >> 1;
      if (!before(entry, heap[above])) break;
      heap[place2] = heap[above];
      place2 = above;
    }
    heap[place2] = entry;
    return () => {
      entry.act = null;
    };
  }
  /** False if nothing is left to happen until then. */
  step(until) {
    for (; ; ) {
      const next = this.#heap[0];
      if (!next || next.at > until) {
        this.now = until;
        return false;
      }
      const last = this.#heap.pop();
      if (last !== next) this.#sink(last);
      if (!next.act) continue;
      this.now = Math.max(this.now, next.at);
      next.act();
      return true;
    }
  }
  #sink(entry) {
    const heap = this.#heap;
    let place2 = 0;
    for (; ; ) {
      let below = 2 * place2 + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && before(heap[below + 1], heap[below])) below++;
      if (!before(heap[below], entry)) break;
      heap[place2] = heap[below];
      place2 = below;
    }
    heap[place2] = entry;
  }
};
var before = (a, b) => a.at < b.at || a.at === b.at && a.order < b.order;
var Realm = class {
  constructor(name) {
    this.name = name;
  }
  name;
  isAlive = true;
  isFrozen = false;
  timers = /* @__PURE__ */ new Set();
  #waiting = [];
  /** Now, or when it is thawed, or never. */
  run(act) {
    if (!this.isAlive) return;
    if (this.isFrozen) this.#waiting.push(act);
    else act();
  }
  thaw() {
    this.isFrozen = false;
    for (const act of this.#waiting.splice(0)) this.run(act);
  }
};
var PUBLIC = ["a.1", "a.2", "b.1"];
var NO_TOKEN = "no token";
var HEARTBEAT = 15;
var MOST_TOPICS = 5;
var KEPT = 12;
var World = class {
  constructor(random) {
    this.random = random;
  }
  random;
  clock = new Clock();
  faults = { answer: "streams" };
  /** Who is logged in. */
  cookie = "ann";
  /** Tokens that the server takes, by user. */
  tokens = /* @__PURE__ */ new Map();
  epoch = 1;
  log = [];
  head = 0;
  connections = /* @__PURE__ */ new Set();
  problems = [];
  requests = 0;
  locks = /* @__PURE__ */ new Map();
  channels = /* @__PURE__ */ new Map();
  workers = /* @__PURE__ */ new Map();
  hasLocks = true;
  hasWorkers = true;
  workerStart = 5;
  #names = 0;
  // ---- the server
  get position() {
    return `${this.epoch}-${this.head}`;
  }
  emit(topic) {
    this.head++;
    this.log.push({ position: this.head, topic });
    if (this.log.length > KEPT) this.log.shift();
    for (const connection of this.connections) this.#send(connection, topic, this.head);
  }
  /** Started again: its log is gone, unless it is kept elsewhere. */
  restart(forgets) {
    for (const connection of [...this.connections]) this.#hangUp(connection);
    if (!forgets) return;
    this.epoch++;
    this.log = [];
    this.head = 0;
  }
  cut(isSilent) {
    for (const connection of [...this.connections]) {
      if (isSilent) connection.isSilent = true;
      else this.#hangUp(connection);
    }
  }
  #mayHear(user, topic) {
    return topic.startsWith("a.") || topic.startsWith("b.") || topic.startsWith(`${user}.`);
  }
  /** In order, some milliseconds later, if the one who hears it lives and the connection does. */
  #later(connection, act) {
    connection.due = Math.max(this.clock.now + this.random() * 4, connection.due);
    this.clock.after(connection.due - this.clock.now, () => connection.realm.run(() => connection.isOver || act()));
  }
  #send(connection, topic, position) {
    if (connection.isSilent || !this.#mayHear(connection.user, topic)) return;
    if (connection.topics && !connection.topics.some((pattern) => matches(pattern, topic))) return;
    const [text, id] = [`${topic}
${JSON.stringify({ topic, position })}`, `${this.epoch}-${position}`];
    this.#later(connection, () => connection.sink.event("message", text, id));
  }
  #control(connection, fields, id) {
    this.#later(connection, () => connection.sink.event("message", `nitro.stream
${JSON.stringify(fields)}`, id));
  }
  #hangUp(connection) {
    this.connections.delete(connection);
    this.#later(connection, () => {
      connection.isOver = true;
      connection.sink.end();
    });
  }
  read(realm, request, sink) {
    this.requests++;
    const connection = { sink, realm, topics: null, user: "", isSilent: false, isOver: false, due: 0 };
    const cookie = this.cookie;
    this.clock.after(1 + this.random() * 20, () => {
      if (!connection.isOver && realm.isAlive) this.#answer(connection, request, cookie);
    });
    return () => {
      connection.isOver = true;
      this.connections.delete(connection);
    };
  }
  #answer(connection, request, cookie) {
    const { answer } = this.faults;
    const refuse = (status) => this.#later(connection, () => {
      connection.isOver = true;
      if (!status) connection.sink.end();
      else connection.sink.end({ status, message: `${status}` });
    });
    if (answer === "hangs") return;
    if (answer !== "streams") return refuse(answer === "html" ? 200 : answer || void 0);
    const query = new URL(request.url).searchParams;
    const token = request.headers.authorization;
    let user = cookie;
    if (token !== void 0) {
      user = token.split(":")[0];
      if (this.tokens.get(user) !== token) return refuse(401);
    }
    const topics = query.getAll("topic");
    for (const [name, value2] of Object.entries(request.headers)) {
      if (name.toLowerCase().startsWith("nitro-topics")) topics.push(...value2.split(","));
    }
    if (topics.some((topic) => !this.#mayHear(user, topic))) return refuse(403);
    if (topics.length > MOST_TOPICS) return refuse(422);
    Object.assign(connection, { topics: topics.length ? topics : null, user });
    const greeting = { retry: 500, heartbeat: HEARTBEAT, for: `u${user}` };
    if (query.has("probe")) {
      this.#control(connection, greeting, "");
      return this.#hangUp(connection);
    }
    this.connections.add(connection);
    const last = query.get("last_event_id") ?? "";
    const [epoch, place2] = last.split("-");
    const oldest = this.log[0]?.position ?? this.head + 1;
    if (!last) this.#control(connection, greeting, this.position);
    else if (Number(epoch) === this.epoch && Number(place2) + 1 >= oldest) {
      this.#control(connection, greeting, last);
      for (const { topic, position } of this.log) if (position > Number(place2)) this.#send(connection, topic, position);
    } else {
      this.#control(connection, greeting, "");
      const gap = JSON.stringify({ reason: Number(epoch) === this.epoch ? "expired" : "epoch", resumed_at: this.position });
      this.#later(connection, () => connection.sink.event("gap", gap, ""));
    }
    this.#beat(connection);
  }
  #beat(connection) {
    this.clock.after(HEARTBEAT * 1e3, () => {
      if (!this.connections.has(connection)) return;
      if (!connection.isSilent) this.#control(connection, {}, this.position);
      this.#beat(connection);
    });
  }
  // ---- the browser
  kill(realm) {
    realm.isAlive = false;
    for (const connection of [...this.connections]) if (connection.realm === realm) this.connections.delete(connection);
    this.dropLocks(realm);
    for (const [name, all] of this.channels) {
      for (const each of all) if (each.realm === realm) all.delete(each);
      if (!all.size) this.channels.delete(name);
    }
    for (const [key, { owners, realm: own }] of this.workers) {
      owners.delete(realm);
      if (own === realm || !owners.size) {
        this.workers.delete(key);
        if (own !== realm) this.kill(own);
      }
    }
  }
  dropLocks(realm) {
    for (const [name, lock] of this.locks) {
      lock.held = lock.held.filter((asked) => asked.realm !== realm);
      lock.queue = lock.queue.filter((asked) => asked.realm !== realm);
      this.#grant(name);
    }
  }
  #grant(name) {
    const lock = this.locks.get(name);
    if (!lock) return;
    for (let next = lock.queue[0]; next; next = lock.queue[0]) {
      const { isShared, realm, granted } = next;
      if (lock.held.length && !(isShared && lock.held.every((held) => held.isShared))) break;
      lock.held.push(lock.queue.shift());
      this.clock.after(this.random() * 2, () => realm.run(granted));
    }
    if (!lock.held.length && !lock.queue.length) this.locks.delete(name);
  }
  #request(realm, name, isShared, isStolen, got, stolen) {
    const lock = this.locks.get(name) ?? { held: [], queue: [] };
    this.locks.set(name, lock);
    let isFree = false;
    const robbed = () => {
      isFree = true;
      stolen();
    };
    const asked = { realm, isShared, granted: () => isFree || got(free), stolen: robbed };
    const free = () => {
      if (isFree) return;
      isFree = true;
      const own = this.locks.get(name);
      if (!own) return;
      own.held = own.held.filter((each) => each !== asked);
      own.queue = own.queue.filter((each) => each !== asked);
      this.#grant(name);
    };
    if (isStolen) {
      for (const { realm: robbed2, stolen: tell } of lock.held.splice(0)) this.clock.after(0, () => robbed2.run(tell));
      lock.queue.unshift(asked);
    } else lock.queue.push(asked);
    this.#grant(name);
    return free;
  }
  #locksOf(realm) {
    return {
      hold: (name, held) => this.#request(realm, name, false, false, held, () => {
      }),
      watch: (name, gone) => this.#request(realm, name, true, false, (free) => (free(), gone()), () => {
      }),
      lead: (name, isStolen, led, over) => {
        let hasLed = false;
        let isOver = false;
        const end = () => {
          if (!hasLed || isOver) return;
          isOver = true;
          over();
        };
        const undo = this.#request(realm, name, false, isStolen, (free) => {
          hasLed = true;
          led(() => {
            free();
            this.clock.after(0, () => realm.run(end));
          });
        }, end);
        return () => {
          undo();
          this.clock.after(0, () => realm.run(end));
        };
      }
    };
  }
  #port(target, hear) {
    let isOpen = true;
    let due = 0;
    return {
      post: (data) => {
        if (!isOpen) return;
        due = Math.max(due, this.clock.now + this.random() * 3);
        this.clock.after(due - this.clock.now, () => target.run(() => hear(data)));
      },
      close: () => {
        isOpen = false;
      }
    };
  }
  #channel(realm, name, hear) {
    const all = this.channels.get(name) ?? /* @__PURE__ */ new Set();
    this.channels.set(name, all);
    const own = { realm, hear };
    all.add(own);
    const ports = /* @__PURE__ */ new Map();
    return {
      post: (data) => {
        for (const other of all) {
          if (other === own || !all.has(own)) continue;
          const hears = (heard) => all.has(other) && other.hear(heard);
          const port = ports.get(other) ?? this.#port(other.realm, hears);
          ports.set(other, port);
          port.post(data);
        }
      },
      close: () => {
        all.delete(own);
        if (!all.size) this.channels.delete(name);
      }
    };
  }
  #env(realm) {
    return {
      now: () => this.clock.now,
      after: (delay, act) => {
        const timer = {};
        realm.timers.add(timer);
        const undo = this.clock.after(
          delay,
          () => realm.run(() => {
            if (realm.timers.delete(timer)) act();
          })
        );
        return () => {
          realm.timers.delete(timer);
          undo();
        };
      },
      random: this.random,
      name: () => `n${this.#names++}`,
      read: (request, sink) => this.read(realm, request, sink),
      locks: this.hasLocks ? this.#locksOf(realm) : null,
      channel: this.hasLocks ? (name, hear) => this.#channel(realm, name, hear) : null
    };
  }
  #worker(page, script, name, hear, broken) {
    const key = `${script} ${name}`;
    const start = this.workerStart;
    let inner;
    let isOpen = true;
    const early = [];
    if (start === "broken") this.clock.after(3, () => page.run(() => isOpen && broken()));
    else if (start !== "never") {
      this.clock.after(this.workers.has(key) ? 0 : start, () => {
        if (!page.isAlive) return;
        let worker = this.workers.get(key);
        if (!worker) {
          const realm = new Realm(`worker ${key}`);
          worker = { realm, connect: serve(this.#env(realm)), owners: /* @__PURE__ */ new Set() };
          this.workers.set(key, worker);
        }
        worker.owners.add(page);
        const back = this.#port(page, (data) => isOpen && hear(data));
        inner = this.#port(worker.realm, worker.connect(back));
        for (const data of early.splice(0)) inner.post(data);
      });
    }
    return {
      post: (data) => isOpen && (inner ? inner.post(data) : early.push(data)),
      close: () => {
        isOpen = false;
        this.clock.after(5, () => inner?.close());
      }
    };
  }
  /** What a page has, and how to tell it what happens to it. */
  page(realm, storage) {
    const listeners = /* @__PURE__ */ new Map();
    const env = {
      ...this.#env(realm),
      worker: this.hasWorkers ? (script, name, hear, broken) => this.#worker(realm, script, name, hear, broken) : null,
      keep: (key, thing) => void (thing ? storage.set(key, thing) : storage.delete(key)),
      kept: (key) => storage.get(key) ?? null,
      before: /* @__PURE__ */ new Map(),
      date: () => this.clock.now,
      isSeen: () => true,
      isOnline: () => true,
      isPrerendering: () => false,
      on: (what, act) => {
        const all = listeners.get(what) ?? /* @__PURE__ */ new Set();
        listeners.set(what, all.add(act));
        return () => void all.delete(act);
      },
      report: (error) => {
        const { message, stack } = error;
        if (message !== NO_TOKEN) this.problems.push(`${realm.name}: ${stack}`);
      }
    };
    return { env, tell: (what) => [...listeners.get(what) ?? []].forEach((act) => act()) };
  }
};

// test/explore.ts
var STORM = 4e4;
var QUIET = 15e4;
var USERS = ["ann", "bob"];
var FORBIDDEN = "secret.1";
async function explore(seed, setting = {}, trace) {
  const random = randomFrom(seed);
  const pick = (all2) => all2[Math.floor(random() * all2.length)];
  const chance = (share) => random() < share;
  const world = new World(random);
  const way = setting.way ?? pick(["worker", "worker", "leader", "alone"]);
  const hasHeaders = setting.hasHeaders ?? chance(0.2);
  world.hasWorkers = way === "worker";
  world.hasLocks = way === "leader" || way === "worker" && chance(0.8);
  const changesUsers = chance(0.3);
  const forgets = chance(0.4);
  const tabs = [];
  const all = [];
  const { problems, clock } = world;
  let heardInAll = 0;
  const say = (line) => trace?.(`${(clock.now / 1e3).toFixed(2)} ${line}`);
  const wrong = (line) => {
    problems.push(`${(clock.now / 1e3).toFixed(2)} ${line}`);
    say(`WRONG ${line}`);
  };
  for (const user of USERS) world.tokens.set(user, `${user}:0`);
  const connect = (tab, predecessor) => {
    const topics = predecessor ? [...predecessor.options.topics] : PUBLIC.filter(() => chance(0.5));
    if (!predecessor) {
      if (chance(0.4)) topics.push(`${tab.user}.*`);
      if (chance(0.1)) topics.push("a.*");
      if (chance(0.06)) topics.push(FORBIDDEN);
    }
    const options = { topics, worker: "w.js" };
    if (way === "alone") options.share = false;
    if (!predecessor && chance(0.4)) options.since = world.position;
    if (hasHeaders) {
      options.headers = () => {
        if (chance(0.1)) throw new Error(NO_TOKEN);
        if (chance(0.05)) return new Promise(() => {
        });
        return { authorization: chance(0.1) ? `${tab.user}:stale` : world.tokens.get(tab.user) };
      };
    }
    const live = new Live(tab.env, "http://x/events", options);
    const watched = {
      live,
      tab,
      options,
      name: `m${all.length}`,
      possible: /* @__PURE__ */ new Set([hasHeaders ? tab.user : world.cookie]),
      wasOpen: false,
      isClosed: false,
      heard: [],
      at: "",
      owed: /* @__PURE__ */ new Map(),
      hasAskedForbidden: topics.includes(FORBIDDEN)
    };
    const baseline = options.since ?? (changesUsers ? "" : predecessor?.at);
    if (baseline) for (const topic of topics) watched.owed.set(topic, baseline);
    say(`${watched.name} connects in ${tab.realm.name} ${JSON.stringify({ topics, since: options.since, after: predecessor?.name })}`);
    live.onstate = (state, error) => {
      say(`${watched.name} ${state} ${error ? JSON.stringify(error) : ""}`);
      if (watched.isClosed && state !== "closed") wrong(`${watched.name} lives on after close`);
      if (state === "open") {
        watched.wasOpen = true;
        for (const topic of topicsOf(live)) if (!watched.owed.has(topic)) watched.owed.set(topic, world.position);
      }
    };
    live.on("*", (_, { topic, id }) => {
      say(`${watched.name} hears ${topic} ${id}`);
      heardInAll++;
      const last = watched.heard.at(-1)?.[1] ?? "";
      if (watched.isClosed) wrong(`${watched.name} hears after close`);
      if (last && isOneLog(last, id) && place(id) <= place(last)) wrong(`${watched.name} hears ${id} behind ${last}`);
      const [owner] = topic.split(".");
      if (USERS.includes(owner)) {
        if (!watched.possible.has(owner)) wrong(`${watched.name} hears ${owner}'s, and may be only ${[...watched.possible]}'s`);
        watched.possible = /* @__PURE__ */ new Set([owner]);
      }
      watched.heard.push([topic, id]);
      watched.at = id;
    });
    live.on("gap", (gap) => {
      say(`${watched.name} gap ${JSON.stringify(gap)}`);
      watched.at = gap.resumed_at;
      for (const topic of watched.owed.keys()) watched.owed.set(topic, gap.resumed_at);
    });
    tab.watched.push(watched);
    all.push(watched);
  };
  const close = (watched) => {
    say(`${watched.name} is closed`);
    watched.live.close();
    watched.isClosed = true;
    watched.tab.watched = watched.tab.watched.filter((other) => other !== watched);
  };
  const load = (storage = /* @__PURE__ */ new Map(), predecessors = []) => {
    const realm = new Realm(`tab${tabs.length}`);
    const { env, tell } = world.page(realm, storage);
    const tab = { realm, storage, tell, env, watched: [], user: world.cookie, isCached: false };
    tabs.push(tab);
    if (predecessors.length) for (const one of predecessors) connect(tab, one.live.state === "open" && one.tab.user === tab.user && !one.options.since ? one : void 0);
    else connect(tab);
    if (chance(0.15)) {
      close(tab.watched[0]);
      connect(tab);
    }
  };
  const gone = (tab) => {
    world.kill(tab.realm);
    for (const watched of tab.watched) watched.isClosed = true;
  };
  const actions = [
    [30, () => {
      const count = chance(0.02) ? 30 : 1 + Math.floor(random() * 3);
      for (let n = 0; n < count; n++) world.emit(pick([...PUBLIC, ...USERS.map((user) => `${user}.1`)]));
      say(`emitted up to ${world.position}`);
    }],
    [4, () => living().length < 5 && load()],
    [2, () => living().length && connect(pick(living()))],
    [1, () => {
      const watched = pick(members());
      if (!watched || watched.live.state === "closed") return;
      say(`${watched.name} changes its topics again and again`);
      const own = topicsOf(watched.live);
      for (let n = 0; n < 20; n++) clock.after(n * 30, () => {
        if (!watched.tab.realm.isAlive || watched.tab.realm.isFrozen || watched.tab.isCached || watched.isClosed || watched.live.state === "closed") return;
        if (n % 2) watched.live.unsubscribe(`b.x${n - 1}`);
        else watched.live.subscribe(`b.x${n}`);
      });
      if (own.length === 0) topicsNow.set(watched.live, own);
    }],
    [3, () => {
      const tab = pick(living());
      if (!tab) return;
      say(`${tab.realm.name} is reloaded`);
      tab.tell("hide");
      const { watched } = tab;
      gone(tab);
      clock.after(random() * 500, () => load(tab.storage, watched));
    }],
    [2, () => {
      const tab = pick(living());
      if (!tab) return;
      say(`${tab.realm.name} goes into the cache`);
      tab.tell("hide");
      tab.realm.isFrozen = tab.isCached = true;
      if (chance(0.5)) world.dropLocks(tab.realm);
      clock.after(random() * 15e3, () => back(tab));
    }],
    [2, () => {
      const tab = pick(living());
      if (!tab) return;
      say(`${tab.realm.name} is frozen`);
      if (chance(0.7)) tab.tell("freeze");
      tab.realm.isFrozen = true;
      clock.after(random() * 3e4, () => thaw(tab));
    }],
    [2, () => {
      const tab = pick(living());
      if (tab) say(`${tab.realm.name} crashes`), gone(tab);
    }],
    [2, () => {
      const watched = pick(members());
      if (watched) close(watched);
    }],
    [5, () => {
      const watched = pick(members());
      if (!watched || watched.live.state === "closed") return;
      const own = topicsOf(watched.live);
      const topic = chance(0.04) ? FORBIDDEN : pick(PUBLIC);
      if (own.includes(topic)) {
        say(`${watched.name} unsubscribes ${topic}`);
        watched.live.unsubscribe(topic);
        watched.owed.delete(topic);
      } else {
        say(`${watched.name} subscribes ${topic}`);
        watched.hasAskedForbidden ||= topic === FORBIDDEN;
        watched.live.subscribe(topic);
        if (watched.live.state === "open") watched.owed.set(topic, world.position);
      }
      topicsNow.set(watched.live, own.includes(topic) ? own.filter((each) => each !== topic) : [...own, topic]);
    }],
    [2, () => {
      const worker = pick([...world.workers.values()]);
      if (!worker) return;
      if (chance(0.7)) say("the worker dies"), world.kill(worker.realm);
      else {
        say("the worker hangs");
        worker.realm.isFrozen = true;
        clock.after(random() * 6e4, () => worker.realm.thaw());
      }
    }],
    [2, () => {
      world.workerStart = pick([5, 5, 5, 3e3, 8e3, "never", "broken"]);
      say(`workers start: ${world.workerStart}`);
    }],
    [3, () => {
      world.faults.answer = pick(["streams", 0, 503, "hangs", 404, "html"]);
      say(`the server answers ${world.faults.answer}`);
      if (world.faults.answer !== "streams") clock.after(random() * 8e3, () => world.faults.answer = "streams");
    }],
    [3, () => {
      const isSilent = chance(0.4);
      say(isSilent ? "all lines die in silence" : "all lines are cut");
      world.cut(isSilent);
    }],
    [3, () => {
      const forgetsNow = forgets && chance(0.5);
      say(`the server starts again${forgetsNow ? ", and forgets" : ""}`);
      world.restart(forgetsNow);
    }],
    [changesUsers ? 2 : 0, () => {
      world.cookie = pick(USERS);
      say(`${world.cookie} logs in`);
      if (!hasHeaders) {
        for (const { possible, heard } of all) if (!heard.some(([topic]) => USERS.includes(topic.split(".")[0]))) possible.add(world.cookie);
      }
    }],
    [hasHeaders ? 2 : 0, () => {
      const user = pick(USERS);
      world.tokens.set(user, `${user}:${clock.now}`);
      say(`${user}'s token is renewed`);
    }]
  ];
  const topicsNow = /* @__PURE__ */ new Map();
  const topicsOf = (live) => topicsNow.get(live) ?? [...all.find((each) => each.live === live)?.options.topics ?? []];
  const living = () => tabs.filter(({ realm, isCached }) => realm.isAlive && !realm.isFrozen && !isCached);
  const members = () => living().flatMap(({ watched }) => watched);
  const thaw = (tab) => {
    if (!tab.realm.isAlive || tab.isCached || !tab.realm.isFrozen) return;
    say(`${tab.realm.name} is thawed`);
    tab.realm.thaw();
    tab.tell("look");
  };
  const back = (tab) => {
    if (!tab.isCached || !tab.realm.isAlive) return;
    say(`${tab.realm.name} comes back from the cache`);
    tab.isCached = false;
    tab.realm.thaw();
    tab.tell("show");
  };
  load();
  const weights = actions.reduce((sum, [weight]) => sum + weight, 0);
  const act = () => {
    if (clock.now > STORM) return;
    let left = random() * weights;
    for (const [weight, does] of actions) if ((left -= weight) < 0) {
      does();
      break;
    }
    clock.after(random() * random() * 3e3, act);
  };
  clock.after(10, act);
  let steps = 0;
  const run = async (until) => {
    while (clock.step(until)) {
      if (++steps > 2e5) return wrong("it never comes to rest");
      if (hasHeaders) for (let n = 0; n < 6; n++) await null;
      if (problems.length > 5) return;
    }
  };
  const judgeStates = () => {
    for (const watched of members()) {
      const { live, name } = watched;
      const topics = topicsOf(live);
      const { status } = live.error ?? {};
      if (topics.length === 0 && live.state !== "closed") {
        if (live.state !== "waiting") wrong(`${name} has no topics, and is ${live.state}`);
      } else if (live.state === "closed") {
        const isDue = status === 403 && watched.hasAskedForbidden || status === 419 && changesUsers || status === 401 && hasHeaders || status === 404 || status === 200 || status === 403 && changesUsers || status === 422 && topics.length > 4;
        if (!isDue) wrong(`${name} is closed: ${JSON.stringify(live.error)}`);
      } else if (live.state !== "open") wrong(`${name} is ${live.state} in the quiet: ${JSON.stringify(live.error)}`);
    }
  };
  await run(STORM);
  say("quiet");
  world.faults.answer = "streams";
  world.workerStart = 5;
  for (const tab of tabs) {
    back(tab);
    thaw(tab);
  }
  for (const { realm } of world.workers.values()) realm.thaw();
  await run(STORM + QUIET);
  for (const topic of [...PUBLIC, ...USERS.map((user) => `${user}.1`)]) world.emit(topic);
  await run(STORM + QUIET + 2e4);
  judgeStates();
  for (const watched of members()) {
    if (watched.live.state !== "open") continue;
    const ids = new Set(watched.heard.map(([, id]) => id));
    for (const { position, topic } of world.log) {
      for (const [pattern, behind] of watched.owed) {
        const isMeant = pattern === topic || pattern.endsWith("*") && topic.startsWith(pattern.slice(0, -1));
        if (!isMeant || !isOneLog(behind, world.position) || place(behind) >= position) continue;
        const [owner] = topic.split(".");
        if (USERS.includes(owner) && !watched.possible.has(owner)) continue;
        if (!ids.has(`${world.epoch}-${position}`)) wrong(`${watched.name} has not heard ${topic} ${world.epoch}-${position}, owed behind ${behind}`);
      }
    }
    for (const [pattern, behind] of watched.owed) {
      if (!isOneLog(behind, world.position)) wrong(`${watched.name} was told of no gap for ${pattern}: it stands at ${behind} of ${world.position}`);
    }
  }
  for (const watched of members()) close(watched);
  await run(STORM + QUIET + 22e4);
  if (world.connections.size) wrong(`${world.connections.size} connections are left`);
  const held = [...world.locks].flatMap(([name, { held: held2, queue }]) => [...held2, ...queue].filter(({ realm }) => tabs.some((tab) => tab.realm === realm)).map(() => name));
  if (held.length) wrong(`locks are left: ${held}`);
  for (const { realm } of tabs) if (realm.isAlive && realm.timers.size) wrong(`${realm.name} has ${realm.timers.size} timers left`);
  for (const { realm } of world.workers.values()) if (realm.timers.size) wrong(`the worker has ${realm.timers.size} timers left`);
  if (world.channels.size) wrong(`channels are left: ${[...world.channels.keys()]}`);
  return { problems, steps, heard: heardInAll, requests: world.requests };
}
var place = (id) => Number(id.split("-")[1]);

// test/run.ts
var value = (name, otherwise) => {
  const place2 = process.argv.indexOf(`--${name}`);
  return place2 < 0 ? otherwise : Number(process.argv[place2 + 1]);
};
async function runs({ from, runs: runs2 }) {
  const failed = [];
  let [steps, heard] = [0, 0];
  for (let seed = from; seed < from + runs2 && failed.length < 20; seed++) {
    const verdict = await explore(seed);
    steps += verdict.steps;
    heard += verdict.heard;
    if (verdict.problems.length) failed.push([seed, verdict.problems]);
  }
  return { steps, heard, failed };
}
if (!isMainThread) {
  parentPort.postMessage(await runs(workerData));
} else if (process.argv.includes("--trace")) {
  const { problems } = await explore(value("trace", 1), {}, console.log);
  console.log(problems.join("\n") || "nothing wrong");
} else {
  const [from, total] = [value("from", 1), value("runs", 1e3)];
  const count = Math.min(availableParallelism(), value("threads", 64), total);
  const size = Math.ceil(total / count);
  const began = performance.now();
  const parts = await Promise.all(
    Array.from({ length: count }, (_, n) => {
      const part = { from: from + n * size, runs: Math.min(size, total - n * size) };
      const worker = new Worker(new URL(import.meta.url), { workerData: part });
      return new Promise((resolve, reject) => worker.on("message", resolve).on("error", reject));
    })
  );
  const failed = parts.flatMap((part) => part.failed);
  const sum = (what) => parts.reduce((all, part) => all + part[what], 0);
  const seconds = (performance.now() - began) / 1e3;
  console.log(`${total} runs, ${sum("steps")} steps, ${sum("heard")} messages heard, ${failed.length} failed, ${seconds.toFixed(1)} s`);
  for (const [seed, problems] of failed.slice(0, 12)) console.log(`seed ${seed}: ${problems.slice(0, 2).map((each) => each.slice(0, 300)).join("\n    ")}`);
  process.exitCode = failed.length ? 1 : 0;
}
