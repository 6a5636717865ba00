// The route of a member to its host: the best way that answers. What proves that a host is alive is its word, and a lock only
// tells sooner that it is not.

import type { PageEnv, Undo } from "./env.js";
import { ANSWERS_WITHIN, ASKS_EACH, type Config, type Tell, type ToHost, type ToMember } from "./protocol.js";
import { alone, type Kind, lifeOf, throughLeader, throughWorker, type Way } from "./ways.js";

export interface Route {
  /** Take the best way there is. */
  open(): void;
  post(request: ToHost): void;
  /** Find out at once whether the host is there: time may have passed in which this page did not run. */
  ask(): void;
  close(): void;
}

export interface RouteOptions {
  /** What those have in common who share a host; null for a host of one's own. */
  key: string | null;
  config: Config;
  worker: string | URL | false;
}

/** A worker that did not come is tried again after this, and after twice as long each time. */
const TRIES_AGAIN_AFTER = 5000;
const TRIES_AGAIN_AT_LATEST = 3_600_000;
/** Workers that die one after the other, none older than a question, before another way is taken. */
const MOST_DEATHS = 3;

export function makeRoute(env: PageEnv, { key, config, worker }: RouteOptions, tell: Tell): Route {
  const name = env.name();
  let secondBest: Kind = key && env.locks && env.channel ? "leader" : "alone";
  let way: Way | undefined;
  let spare: Way | undefined; // a worker that is waited for, while another way is in use
  let deaths = 0;
  let pause = TRIES_AGAIN_AFTER;
  let isHeard = false; // since it was asked
  let wasHeard = false; // at all
  let letGo: Undo = () => {};
  let timer: Undo = () => {};
  let later: Undo = () => {};

  function use(kind: Kind): void {
    isHeard = wasHeard = false;
    try {
      way = open(kind);
    } catch {
      if (kind !== "worker") secondBest = "alone"; // as where cookies are blocked
      return use(secondBest); // as for a script of another origin
    }
    if (kind !== "worker") way.post({ do: "ask" });
    wait();
  }

  function open(kind: Kind): Way {
    let own: Way | undefined;
    const hearOwn: Tell = (news) => hear(own, news);
    if (kind === "alone") own = alone(env, config, name, hearOwn);
    else if (kind === "leader") own = throughLeader(env, key!, config, name, hearOwn);
    else own = throughWorker(env, worker as URL, key!, config, name, hearOwn, (isBroken) => lose(own, isBroken));
    return own;
  }

  function hear(from: Way | undefined, news: ToMember): void {
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

  function ask(): void {
    isHeard = false;
    way?.post({ do: "ask" });
    wait();
  }

  function wait(): void {
    const due = env.now() + ANSWERS_WITHIN;
    timer();
    timer = env.after(ANSWERS_WITHIN, () => {
      if (isHeard) timer = env.after(ASKS_EACH - ANSWERS_WITHIN, ask);
      else if (env.now() - due > 2000 && wasHeard) ask(); // this page has slept
      else lose(way, false);
    });
  }

  /** A way whose host is gone, doesn't answer, or (`isBroken`) can't be. */
  function lose(lost: Way | undefined, isBroken: boolean): void {
    if (!lost || lost !== way) return; // one that is spare is tried again by and by
    if (lost.kind === "leader") {
      lost.replace!();
      return wait();
    }
    if (!isBroken && wasHeard && ++deaths <= MOST_DEATHS) {
      lost.close();
      return use(lost.kind);
    }
    if (isBroken || wasHeard) lost.close();
    else spare = lost; // slow, perhaps
    tryLater();
    return use(secondBest);
  }

  function tryLater(): void {
    later = env.after(pause, () => {
      pause = Math.min(pause * 2, TRIES_AGAIN_AT_LATEST);
      spare?.close();
      try {
        spare = open("worker");
      } catch {
        spare = undefined;
      }
      tryLater();
    });
  }

  /** A worker is to be had again. */
  function adopt(found: Way): void {
    later();
    way?.post({ do: "leave", isForGood: false });
    way?.close();
    way = found;
    spare = undefined;
    wait();
  }

  return {
    open() {
      const begin = () => use(key && worker && env.worker ? "worker" : secondBest);
      if (key && env.locks) letGo = env.locks.hold(lifeOf(name), begin); // or the host would take us for gone
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
    },
  };
}
