// The ways to a host: in a worker, in the tab that leads, or beside the member. Each says "new" when there is a host to join.

import type { Env, PageEnv, Port, Undo } from "./env.js";
import { Host } from "./host.js";
import type { Config, Tell, ToHost, ToMember } from "./protocol.js";

/** A lock that is held as long as a member or a worker lives: however it ends, who waits for the lock gets to know. */
export const lifeOf = (name: string) => `nitro life ${name}`;

export type Kind = "worker" | "leader" | "alone";

export interface Way {
  kind: Kind;
  post(request: ToHost): void;
  /** The host doesn't answer: have another one. */
  replace?(): void;
  close(): void;
}

/** Tells in one parcel what is told in one go: a piece of a stream has many messages. */
function bundled(env: Env, post: (all: ToMember[]) => void): Tell {
  const all: ToMember[] = [];
  return (news) => {
    if (all.push(news) === 1) env.soon(() => post(all.splice(0)));
  };
}

/** Hears for a host, which learns when a member's tab is gone, as `forget` does. */
function listen(host: Host, forget = (_: string) => {}): (name: string, tell: Tell, request: ToHost) => void {
  const watched = new Map<string, Undo>();
  return (name, tell, request) => {
    if (request.do === "join" && !watched.has(name)) {
      const gone = () => {
        watched.delete(name);
        host.hear(name, tell, { do: "leave", isForGood: false });
        forget(name);
      };
      watched.set(name, host.env.locks?.watch(lifeOf(name), gone) ?? (() => {}));
    }
    if (request.do === "leave") {
      watched.get(name)?.();
      watched.delete(name);
    }
    host.hear(name, tell, request);
  };
}

export function alone(env: PageEnv, config: Config, name: string, tell: Tell): Way {
  const host = new Host(env, config, name);
  const later = bundled(env, (all) => all.forEach(tell));
  return { kind: "alone", post: (request) => host.hear(name, later, request), close: () => host.end() };
}

// ---- A shared worker: one for each key, since its name is part of what it is.

type FirstWord = { name: string; config: Config };

export function throughWorker(env: PageEnv, script: string | URL, key: string, config: Config, name: string, tell: Tell, gone: (isBroken: boolean) => void): Way {
  let watch: Undo | undefined;
  const hear = (all: ToMember[]) => {
    for (const news of all) {
      // it goes with the process of the tab that started it, or with its browser's patience
      if ("host" in news) watch ??= env.locks?.watch(lifeOf(news.host), () => gone(false));
      tell(news);
    }
  };
  const port = env.worker!(script, key, hear, () => gone(true));
  port.post({ name, config } satisfies FirstWord);
  return {
    kind: "worker",
    post: port.post,
    close() {
      watch?.();
      port.post({ do: "leave", isForGood: false } satisfies ToHost); // it may start yet, and find what was said to it
      port.close();
    },
  };
}

/** The worker's side: what to do with each port that connects to it. */
export function serve(env: Env): (port: Port) => (data: FirstWord | ToHost) => void {
  const own = env.name();
  let hear: ReturnType<typeof listen> | undefined;
  let waiting: Tell[] | null = []; // until the lock is held that they watch
  const ready = () => {
    const all = waiting!;
    waiting = null;
    for (const tell of all) tell({ is: "new", host: own });
  };
  if (env.locks) env.locks.hold(lifeOf(own), ready);
  else ready();
  return (port) => {
    const tell = bundled(env, port.post);
    let name = "";
    return (data) => {
      if ("do" in data) return hear?.(name, tell, data);
      hear ??= listen(new Host(env, data.config, own));
      name = data.name;
      if (waiting) waiting.push(tell);
      else tell({ is: "new", host: own });
    };
  };
}

// ---- The tab that leads: it holds a lock, and whoever waits for it is the next. Each member has a channel of its own.

type Parcel = { from: string; request: ToHost } | { isLed: string };
type Letter = { by: string; all: ToMember[] };

export function throughLeader(env: PageEnv, key: string, config: Config, name: string, tell: Tell): Way {
  const locks = env.locks!;
  const open = env.channel!;
  let host: Host | undefined;
  let hear: ReturnType<typeof listen> | undefined;
  let isClosed = false;
  let resign: Undo | undefined;
  let leader = "";
  const members = new Map<string, { port: Port; tell: Tell }>();
  const later = bundled(env, (all) => all.forEach(tell));
  const memberAt = (from: string) => {
    const port = open(`${key} ${from}`, () => {});
    return { port, tell: bundled(env, (all) => port.post({ by: name, all } satisfies Letter)) };
  };
  const forget = (member: string) => {
    members.get(member)?.port.close();
    members.delete(member);
  };
  const step = (down: Undo) => {
    resign = down;
    if (isClosed) return down();
    host = new Host(env, config, name);
    hear = listen(host, forget);
    channel.post({ isLed: name } satisfies Parcel);
    tell({ is: "new", host: name });
  };
  const over = () => {
    host?.end();
    host = hear = resign = undefined;
    for (const member of [...members.keys()]) forget(member);
    leader = "";
    if (isClosed) return;
    candidacy = locks.lead(key, false, step, over); // again, behind all others
    channel.post({ from: name, request: { do: "ask" } } satisfies Parcel); // to whoever leads now
  };
  const channel = open(key, (parcel: Parcel) => {
    if ("isLed" in parcel) host || tell({ is: "new", host: (leader = parcel.isLed) });
    else if (hear) {
      const { from, request } = parcel;
      const member = members.get(from) ?? memberAt(from);
      if (request.do === "join") members.set(from, member);
      hear(from, member.tell, request);
      if (request.do === "leave") forget(from);
      if (!members.has(from)) env.soon(() => member.port.close()); // who asks may go without a word
    }
  });
  const inbox = open(`${key} ${name}`, ({ by, all }: Letter) => {
    for (const news of all) {
      if (host) return; // from one who has slept, and leads no more
      if (by === leader) tell(news);
      else if ("host" in news) tell({ is: "new", host: (leader = by) });
    }
  });
  let candidacy = locks.lead(key, false, step, over);
  const freeze = env.on("freeze", () => resign?.());
  return {
    kind: "leader",
    post: (request) => (hear ? hear(name, later, request) : channel.post({ from: name, request } satisfies Parcel)),
    replace() {
      candidacy();
      candidacy = locks.lead(key, true, step, over);
    },
    close() {
      isClosed = true;
      freeze();
      candidacy();
      channel.close();
      inbox.close();
    },
  };
}

