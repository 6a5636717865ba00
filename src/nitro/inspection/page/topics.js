// @ts-check
/** The topics that were emitted in the last minute, the busiest first, each with a bar. */
import { make, mark, put, Rows } from "./dom.js";
import { bytes, count, counted, rate } from "./format.js";

/** @typedef {import("./topic_window.js").TopicRate} TopicRate @typedef {import("./topic_window.js").TopicWindow} TopicWindow */

function build() {
  const root = make("tr", "topic");
  mark(root, "role", "row");
  const [topic, perSecond, messages, volume] = [make("th"), make("td", "number"), make("td", "number"), make("td", "number")];
  mark(topic, "scope", "row");
  mark(topic, "role", "rowheader");
  for (const [cell, label] of /** @type {[HTMLElement, string][]} */ ([[perSecond, "Rate"], [messages, "Messages"], [volume, "Bytes"]])) {
    mark(cell, "role", "cell");
    mark(cell, "data-label", label);
  }
  const [name, track, bar] = [make("button", "name"), make("span", "track"), make("span", "bar")];
  name.type = "button";
  track.append(bar);
  topic.append(name, track);
  root.append(topic, perSecond, messages, volume);
  return { root, name, bar, perSecond, messages, volume };
}

export class Topics {
  /** @param {HTMLElement} body of a table @param {number} most @param {HTMLElement} note @param {(topic: string) => void} follow */
  constructor(body, most, note, follow) {
    body.addEventListener("click", ({ target }) => target instanceof HTMLButtonElement && follow(target.textContent ?? ""));
    this.most = most;
    this.note = note;
    this.table = /** @type {HTMLElement} */ (body.closest("table"));
    this.highest = 1;
    /** @type {Rows<TopicRate, ReturnType<typeof build>>} */
    this.rows = new Rows(body, build, (row, one) => {
      put(row.name, one.topic);
      mark(row.name, "title", `Follow ${one.topic}`);
      row.bar.style.width = `${(100 * one.messages / this.highest).toFixed(1)}%`;
      put(row.perSecond, `${rate(one.perSecond)}/s`);
      put(row.messages, count(one.messages));
      put(row.volume, `${bytes(one.bytesPerSecond)}/s`);
    });
  }

  /** @param {TopicWindow} topics @param {import("./contract.js").Topics} newest */
  show(topics, newest) {
    const shown = topics.busiest(this.most);
    this.highest = Math.max(1, shown[0]?.messages ?? 1);
    this.rows.show(shown);
    this.table.hidden = !shown.length;
    const more = topics.sums.size - shown.length;
    const words = [];
    if (!shown.length) words.push("Nothing was emitted in the last minute.");
    if (more > 0) words.push(`And ${counted(more, "other topic")} in the last minute.`);
    if (topics.others > 0) words.push(`${counted(topics.others, "message")} on topics that are not listed.`);
    if (newest.left_out) words.push("More is emitted than is counted here: the rates are too low.");
    put(this.note, words.join(" "));
    this.note.hidden = !words.length;
  }
}
