// Vercel's AI SDK: `node ai_sdk.js URL QUESTION`. A chat asks and is heard to its end; a second one is left in the middle and
// resumed by a third, as after a reload. Prints a JSON object a line: what each of them had in the end.
import { AbstractChat, DefaultChatTransport } from "ai";

const [url, question] = process.argv.slice(2);

/** What `useChat` keeps, without React. */
class State {
  status = "ready";
  error = undefined;
  constructor(messages) {
    this.messages = messages;
  }
  pushMessage = (message) => (this.messages = [...this.messages, message]);
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (place, message) => (this.messages = this.messages.with(place, structuredClone(message)));
  snapshot = structuredClone;
}

class Chat extends AbstractChat {
  constructor(id, messages = []) {
    const state = new State(messages);
    super({ id, state, transport: new DefaultChatTransport({ api: `${url}/api/chat` }), onError() {} });
  }
  get texts() {
    return this.messages.map(({ role, parts }) => [role, parts.map(({ text }) => text ?? "").join("")]);
  }
  tell(name) {
    const message = this.error?.message ?? null;
    console.log(JSON.stringify({ name, status: this.status, error: message, texts: this.texts }));
  }
}

async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const whole = new Chat("whole");
await whole.sendMessage({ text: question });
whole.tell("whole");

const left = new Chat("left");
const sending = left.sendMessage({ text: question });
await until(() => left.texts[1]?.[1].length || left.status === "error");
await left.stop();
await sending;
left.tell("left");
const resumed = new Chat("left", left.messages);
await resumed.resumeStream();
resumed.tell("resumed");
await resumed.resumeStream();
resumed.tell("resumed again");
const fresh = new Chat("left", left.messages.slice(0, 1));
await fresh.resumeStream();
fresh.tell("fresh");

const other = new Chat("nobody's");
await other.resumeStream();
other.tell("nothing to resume");

const expired = new Chat("expired");
await expired.resumeStream();
expired.tell("expired");
