// Who wants to hear what, in a page.

import { matches } from "./topics.js";
import type { Handler } from "./live.js";

export class Handlers {
  #byPattern = new Map<string, Set<{ handler: Handler }>>();
  #parse: (json: string) => unknown;
  #report: (error: unknown) => void;

  constructor(parse: (json: string) => unknown, report: (error: unknown) => void) {
    this.#parse = parse;
    this.#report = report;
  }

  /** Each call counts: who adds a handler twice is told twice. */
  add(pattern: string, handler: Handler): () => void {
    const all = this.#byPattern.get(pattern) ?? new Set();
    const own = { handler };
    this.#byPattern.set(pattern, all.add(own));
    return () => {
      if (all.delete(own) && !all.size && this.#byPattern.get(pattern) === all) this.#byPattern.delete(pattern);
    };
  }

  /** What was sent to this connection alone has no topic, and `*` hears it. Each handler gets data of its own. */
  hear(topic: string, text: string, id: string): void {
    for (const pattern of [...this.#byPattern.keys()]) {
      if (pattern === "gap" || (topic ? !matches(pattern, topic) : pattern !== "*")) continue;
      this.tell(pattern, (handler) => handler(this.#parse(text), { topic, id }));
    }
  }

  /** One handler's error is everybody's to see, and stops nobody. */
  tell(pattern: string, call: (handler: Handler) => void): void {
    for (const { handler } of [...(this.#byPattern.get(pattern) ?? [])]) {
      try {
        call(handler);
      } catch (error) {
        this.#report(error);
      }
    }
  }
}
