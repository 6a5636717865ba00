// What the pages of the examples share: finding elements, following a stream, and asking the server.
import { connect } from "/nitro/client.js";

export const $ = (selector, root = document) => root.querySelector(selector);

// ---- The stream. Subscribe first, then fetch what is there already: what comes meanwhile waits, so nothing falls between.
// `load` fetches and draws it, and says whether that went well; `show` draws what the stream tells.
export function follow(url, { load, show }) {
  const live = connect(url);
  let early = [];  // null once the two are in step
  let loads = 0;
  const fetchAnew = async () => {
    const mine = ++loads;
    early = [];
    const isLoaded = await load();
    if (mine !== loads || live.state === "closed") return;
    if (!isLoaded) return void setTimeout(() => mine === loads && live.state !== "closed" && fetchAnew(), 3000);
    const waited = early;
    early = null;
    waited.forEach((data) => show(data));
  };
  live.on("*", (data) => { if (early) early.push(data); else show(data); });
  live.on("gap", fetchAnew);  // the server can't replay what this page missed, and says so
  live.onstate = () => {
    paint(live);
    if (live.state === "open" && !loads) fetchAnew();
  };
  paint(live);
  followed = live;
  return { close: () => live.close(), refresh: () => early || fetchAnew() };
}

// ---- The rows of a live query come in step by themselves: what is left is to say how things stand.
export function watch(collection) {
  collection.subscribe(() => paint(collection));
  paint(collection);
  followed = collection;
}

let followed;
const WORDS = { connecting: "Connecting", loading: "Connecting", live: "Live", waiting: "Reconnecting", closed: "Ended" };

function paint({ state: its, error }) {
  const state = its === "open" ? "live" : its;
  const isOffline = !navigator.onLine && state !== "live";
  $("#state").dataset.state = isOffline ? "offline" : state;
  $("#state").textContent = isOffline ? "Offline" : WORDS[state];
  const notice = $("#notice");
  if (isOffline) notice.textContent = "You are offline. What others change shows as soon as you are back.";
  else if (state === "closed") notice.textContent = error?.message ?? "";
  else if (state === "waiting") notice.textContent = "The connection was lost. It is tried again, and nothing is missed.";
  else if (state === "live") notice.textContent = "";
}
for (const change of ["online", "offline"]) addEventListener(change, () => followed && paint(followed));

// ---- Requests. The page does not show what it sends: the stream brings it, here as everywhere. What is sent to one address
// waits for what was sent there before, so that the last one counts.
const newest = new Map();  // address → what was asked there last

export async function inTurn(address, act) {
  const turn = (newest.get(address) ?? Promise.resolve()).then(act, act);  // also behind one that failed
  newest.set(address, turn);
  try {
    return await turn;
  } finally {
    if (newest.get(address) === turn) newest.delete(address);
  }
}

const underway = new Set();  // what is sent twice meanwhile is sent once: a form, or that something is to be deleted

// What only reads waits for nobody.
export async function ask(method, address, fields) {
  if (method === "GET") return request(method, address);
  if (method === "PATCH") return inTurn(address, () => request(method, address, fields));
  const sent = `${method} ${address}?${new URLSearchParams(fields)}`;
  if (underway.has(sent)) return false;
  underway.add(sent);
  try {
    return await inTurn(address, () => request(method, address, fields));
  } finally {
    underway.delete(sent);
  }
}

async function request(method, address, fields) {
  const kind = method === "GET" ? "reading" : "sending";
  try {
    const body = fields && new URLSearchParams(fields);
    const response = await fetch(address, { method, body, signal: AbortSignal.timeout(15_000) });
    const answer = await response.json().catch(() => ({}));
    const found = Array.isArray(answer.detail) ? answer.detail.map(sentence) : [answer.detail ?? `The server answered ${response.status}.`];
    report(kind, response.ok ? "" : found.join(" "));
    return response.ok && answer;
  } catch {
    const doubt = kind === "reading" ? "" : " It may have done what was sent: look before you send it again.";
    report(kind, `The server doesn't answer. Is it still running?${doubt}`);
    return false;
  }
}

const problems = { reading: "", sending: "" };

/** Show what went wrong, or "". What a page reads by itself hides nothing that is said of what somebody has sent. */
export function report(kind, words) {
  problems[kind] = words;
  if (kind === "sending" || !problems.sending) $("#error").textContent = problems.sending || problems.reading;
}

function sentence({ loc, msg }) {  // "title: String should have at most 200 characters" → "The title should have …"
  return `${msg.replace(/^(String|Input)/, `The ${loc.at(-1)}`)}.`;
}

// ---- A double click on a button is one press: at its second click another button may have come under the pointer. Those that
// are there to be pressed again and again say so by `data-often`.
addEventListener("click", (event) => {
  if (event.detail < 2 || !event.target.closest("button:not([data-often])")) return;
  event.preventDefault();
  event.stopPropagation();
}, true);
