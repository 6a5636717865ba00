// @ts-check
/** What can be done: a client or a user is disconnected, after a question, and a test event is emitted. */
import { ask } from "./contract.js";
import { nameOf, rightsOf, STATES, topicsOf, waitingOf, WAYS } from "./client_row.js";
import { $, make, put } from "./dom.js";
import { date, span } from "./format.js";

/** @typedef {import("./contract.js").Row} Row */

/** All about one client, and the buttons that disconnect it. */
export class ClientDialog {
  /** @param {HTMLDialogElement} dialog @param {HTMLDialogElement} question */
  constructor(dialog, question) {
    this.dialog = dialog;
    this.question = new Question(question);
    this.list = $("dl", dialog);
    this.buttons = $(".buttons", dialog);
    this.done = $("output", dialog);
    /** @type {Row | null} */
    this.row = null;
    /** @type {Map<string, HTMLElement>} */
    this.values = new Map();
    this.clientButton = $(".disconnect-client", dialog);
    this.userButton = $(".disconnect-user", dialog);
    this.clientButton.addEventListener("click", () => this.askForClient());
    this.userButton.addEventListener("click", () => this.askForUser());
    $(".close", dialog).addEventListener("click", () => dialog.close());
  }

  /** @param {Row} row @param {number} now @param {Map<string, string>} names */
  open(row, now, names) {
    put(this.done, "");
    this.show(row, now, names);
    this.dialog.showModal();
  }

  /** The client as it is by the newest report. @param {Row[]} rows @param {number} now @param {Map<string, string>} names */
  refresh(rows, now, names) {
    const row = this.dialog.open && rows.find(({ key }) => key === this.row?.key);
    if (row) this.show(row, now, names);
  }

  /** @param {Row} row @param {number} now @param {Map<string, string>} names */
  show(row, now, names) {
    this.row = row;
    put($("h2", this.dialog), row.user === null ? "A client without a user" : row.user);
    this.userButton.hidden = row.user === null || row.is_cut;
    const { way, state } = row;
    for (const [name, value] of /** @type {[string, string][]} */ ([
      ["User", row.user ?? "none"],
      ["Address", row.address ?? "unknown"],
      ["Topics", topicsOf(row)],
      ["May hear", rightsOf(row)],
      ["Query", row.query ?? ""],
      ["Waiting", row.waiting[0] ? waitingOf(row) : "nothing"],
      ["State", STATES[state] ?? state],
      ["Way", WAYS[way] ?? way],
      ["Connected", `for ${span(now - row.since)}, since ${date(row.since)}`],
      ["Worker", `${names.get(row.worker) ?? "unknown"}, ${row.worker}`],
      ["Key", row.key],
    ])) this.say(name, value);
  }

  /** @param {string} name @param {string} value "" hides it */
  say(name, value) {
    let item = this.values.get(name);
    if (!item) {
      item = make("div");
      item.append(make("dt", "", name), make("dd"));
      this.list.append(item);
      this.values.set(name, item);
    }
    item.hidden = !value;
    put($("dd", item), value);
  }

  /** @param {boolean} may */
  allow(may) {
    this.buttons.hidden = !may;
  }

  askForClient() {
    if (!this.row) return;
    const { key } = this.row;
    this.question.ask({
      title: `Disconnect this client of ${nameOf(this.row)}?`,
      words: "Its stream ends after what is being written. A browser reconnects within seconds, and gets what it missed meanwhile.",
      choice: "",
      button: "Disconnect",
      body: () => ({ client: key }),
    }, (words) => put(this.done, words));
  }

  askForUser() {
    const user = this.row?.user;
    if (typeof user !== "string") return;
    this.question.ask({
      title: `Disconnect all clients of ${user}?`,
      words: "All streams of this user end, on all workers. Browsers reconnect within seconds: your application then decides again what the user may hear.",
      choice: "For good: browsers are told not to reconnect, until their page is reloaded",
      button: "Disconnect the user",
      body: (isChosen) => ({ user, stop: isChosen }),
    }, (words) => put(this.done, words));
  }
}

/** @typedef {{title: string, words: string, choice: string, button: string, body: (isChosen: boolean) => object}} Asked */

/** Says what will happen, and does it only if it is confirmed. */
class Question {
  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this.dialog = dialog;
    this.error = $(".error", dialog);
    this.choice = /** @type {HTMLInputElement} */ ($("[type=checkbox]", dialog));
    this.sure = /** @type {HTMLButtonElement} */ ($(".sure", dialog));
    /** @type {Asked | null} */
    this.asked = null;
    /** @type {(words: string) => void} */
    this.tell = () => undefined;
    $(".cancel", dialog).addEventListener("click", () => dialog.close());
    this.sure.addEventListener("click", () => void this.act());
  }

  /** @param {Asked} asked @param {(words: string) => void} tell */
  ask(asked, tell) {
    this.asked = asked;
    this.tell = tell;
    put($("h2", this.dialog), asked.title);
    put($(".words", this.dialog), asked.words);
    $(".choice", this.dialog).hidden = !asked.choice;
    put($(".choice span", this.dialog), asked.choice);
    this.choice.checked = false;
    put(this.sure, asked.button);
    put(this.error, "");
    this.dialog.showModal();
  }

  async act() {
    const { asked } = this;
    if (!asked || this.sure.disabled) return;
    this.sure.disabled = true;
    const { status, words } = await ask("disconnect", JSON.stringify(asked.body(this.choice.checked)));
    this.sure.disabled = false;
    if (status !== 200) return put(this.error, words);
    this.tell(words);
    this.dialog.close();
  }
}

/** The form that emits a test event. */
export class EmitForm {
  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.topic = /** @type {HTMLInputElement} */ ($("[name=topic]", form));
    this.payload = /** @type {HTMLTextAreaElement} */ ($("[name=payload]", form));
    this.button = /** @type {HTMLButtonElement} */ ($("[type=submit]", form));
    this.error = $(".error", form);
    this.done = $("output", form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.emit();
    });
  }

  async emit() {
    put(this.error, "");
    put(this.done, "");
    const text = this.payload.value.trim();
    try {
      JSON.parse(text);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return put(this.error, `The payload is no JSON: ${why}. A text needs quotation marks.`);
    }
    this.button.disabled = true;
    // The payload goes as it was written: parsed and written anew, its large numbers would be other ones.
    const { status, words } = await ask("emit", `{"topic":${JSON.stringify(this.topic.value.trim())},"payload":${text}}`);
    this.button.disabled = false;
    put(status === 200 ? this.done : this.error, words);
  }
}
