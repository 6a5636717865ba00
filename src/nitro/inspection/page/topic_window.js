// @ts-check
/** What was emitted on which topic in the last minute, from reports of about a second each. */

/** @typedef {import("./contract.js").Topics} Topics */
/**
 * @typedef {object} TopicRate
 * @property {string} topic
 * @property {number} messages in the window
 * @property {number} perSecond
 * @property {number} bytesPerSecond
 */

const WINDOW_SECONDS = 60;

export class TopicWindow {
  constructor() {
    /** @type {{at: number, topics: Topics}[]} */
    this.reports = [];
    /** @type {Map<string, {messages: number, bytes: number}>} */
    this.sums = new Map();
    this.others = 0;
    this.seconds = 0;
  }

  /** @param {number} at @param {Topics} topics */
  take(at, topics) {
    this.reports.push({ at, topics });
    this.add(topics, 1);
    while (this.reports[0] && this.reports[0].at <= at - WINDOW_SECONDS) {
      const old = this.reports.shift();
      if (old) this.add(old.topics, -1);
    }
  }

  /** @param {Topics} topics @param {1 | -1} sign */
  add({ seconds, top, others }, sign) {
    this.seconds += sign * seconds;
    this.others += sign * others.messages;
    for (const [topic, messages, bytes] of top) {
      const sum = this.sums.get(topic) ?? { messages: 0, bytes: 0 };
      sum.messages += sign * messages;
      sum.bytes += sign * bytes;
      if (sum.messages > 0) this.sums.set(topic, sum);
      else this.sums.delete(topic);
    }
  }

  /** The busiest first. @param {number} most @returns {TopicRate[]} */
  busiest(most) {
    const seconds = Math.max(1, this.seconds);
    return [...this.sums]
      .sort(([a, { messages: x }], [b, { messages: y }]) => y - x || (a < b ? -1 : 1))
      .slice(0, most)
      .map(([topic, { messages, bytes }]) => ({ topic, messages, perSecond: messages / seconds, bytesPerSecond: bytes / seconds }));
  }
}
