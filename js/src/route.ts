// The route of a member to its host: the best way that answers. What proves that a host is alive is its word, and a lock only
// tells sooner that it is not.

import type { PageEnv, Undo } from "./env.js";
import { ANSWERS_WITHIN, ASKS_EACH, type Config, type Tell, type ToHost, type ToMember } from "./protocol.js";
import { alone, type Kind, lifeOf, throughLeader, throughWorker, type Way } from "./ways.js";

export interface RouteOptions {
  /** What those have in common who share a host; null for a host of one's own. */
  key: string | null;
  config: Config;
  worker: string | URL | false;
}

/** A worker that did not come is tried again after this, and after twice as long each time. */
const TRIES_AGAIN_AFTER = 30_000;
const TRIES_AGAIN_AT_LATEST = 3_600_000;
/** Workers that die one after the other, none older than a question, before another way is taken. */
const MOST_DEATHS = 3;

export class Route {
  #env: PageEnv;
  #options: RouteOptions;
  #tell: Tell;
  #name: string;
  #letGo: Undo = () => {};
  #isHeld = false;
  #isWelcome = false; // there is a host to join, and we may not yet
  #way!: Way;
  #spare: Way | undefined; // a worker that is waited for, while another way is in use
  #deaths = 0;
  #pause = TRIES_AGAIN_AFTER;
  #timer: Undo = () => {};
  #later: Undo = () => {};
  #isHeard = false; // since it was asked
  #wasHeard = false; // at all

  constructor(env: PageEnv, options: RouteOptions, tell: Tell) {
    this.#env = env;
    this.#options = options;
    this.#tell = tell;
    this.#name = env.name();
  }

  open(): void {
    const held = () => {
      this.#isHeld = true;
      if (this.#isWelcome) this.#tell({ is: "new", host: "" });
    };
    const { key, worker } = this.#options;
    if (key !== null && this.#env.locks) this.#letGo = this.#env.locks.hold(lifeOf(this.#name), held);
    else this.#isHeld = true;
    this.#use(key !== null && worker && this.#env.worker ? "worker" : this.#secondBest());
  }

  post(request: ToHost): void {
    if (this.#isHeld) this.#way.post(request); // or the host would take us for gone
  }

  /** Find out at once whether the host is there: time may have passed in which this page did not run. */
  ask(): void {
    if (this.#wasHeard) this.#ask();
  }

  close(): void {
    this.#timer();
    this.#later();
    this.#spare?.close();
    this.#way.close();
    this.#letGo();
  }

  #secondBest(): Kind {
    return this.#options.key !== null && this.#env.locks && this.#env.channel ? "leader" : "alone";
  }

  #use(kind: Kind): void {
    this.#isHeard = this.#wasHeard = false;
    try {
      this.#way = this.#open(kind);
    } catch {
      return this.#use(this.#secondBest()); // as for a script of another origin
    }
    if (kind === "alone") this.#hear(this.#way, { is: "new", host: "" });
    if (kind === "leader") this.#way.post({ do: "ask" });
    this.#await();
  }

  #open(kind: Kind): Way {
    let way: Way | undefined;
    const { config, key, worker } = this.#options;
    const tell: Tell = (news) => this.#hear(way, news);
    if (kind === "alone") way = alone(this.#env, config, this.#name, tell);
    else if (kind === "leader") way = throughLeader(this.#env, key!, config, this.#name, tell);
    else way = throughWorker(this.#env, worker as URL, key!, config, this.#name, tell, (isBroken) => this.#lost(way, isBroken));
    return way;
  }

  #hear(way: Way | undefined, news: ToMember): void {
    if (way && way === this.#spare) this.#adopt(way);
    if (way !== this.#way) return;
    this.#isHeard = this.#wasHeard = true;
    if (news.is === "here") this.#deaths = 0;
    else if (news.is === "apart") this.#goApart();
    else if (news.is === "new" && !this.#isHeld) this.#isWelcome = true;
    else this.#tell(news);
  }

  #ask(): void {
    this.#isHeard = false;
    this.#way.post({ do: "ask" });
    this.#await();
  }

  #await(): void {
    const due = this.#env.now() + ANSWERS_WITHIN;
    this.#timer();
    this.#timer = this.#env.after(ANSWERS_WITHIN, () => {
      if (this.#isHeard) this.#timer = this.#env.after(ASKS_EACH - ANSWERS_WITHIN, () => this.#ask());
      else if (this.#env.now() - due > 2000 && this.#wasHeard) this.#ask(); // this page has slept
      else this.#lost(this.#way, false);
    });
  }

  /** A way whose host is gone, doesn't answer, or (`isBroken`) can't be. */
  #lost(way: Way | undefined, isBroken: boolean): void {
    if (!way || way === this.#spare) return; // it is tried again by and by
    if (way !== this.#way) return;
    if (way.kind === "leader") {
      way.replace!();
      return this.#await();
    }
    const isAlive = !isBroken && this.#wasHeard && ++this.#deaths <= MOST_DEATHS;
    if (isAlive) {
      way.close();
      return this.#use("worker");
    }
    if (isBroken || this.#wasHeard) way.close();
    else this.#spare = way; // slow, perhaps
    this.#tryLater();
    return this.#use(this.#secondBest());
  }

  #tryLater(): void {
    this.#later = this.#env.after(this.#pause, () => {
      this.#pause = Math.min(this.#pause * 2, TRIES_AGAIN_AT_LATEST);
      this.#spare?.close();
      try {
        this.#spare = this.#open("worker");
      } catch {
        this.#spare = undefined;
      }
      this.#tryLater();
    });
  }

  #goApart(): void {
    this.#later();
    this.#way.close();
    this.#use("alone");
  }

  /** A worker is to be had again. */
  #adopt(worker: Way): void {
    this.#later();
    this.post({ do: "leave", isForGood: false });
    this.#way.close();
    this.#way = worker;
    this.#spare = undefined;
    this.#pause = TRIES_AGAIN_AFTER;
    this.#await();
  }
}
