// @ts-check
/** What the server tells and is asked. All strings of it are foreign text: they are only ever shown as text. */

/**
 * @typedef {Record<string, number>} ByReason
 * @typedef {object} Counters Since the worker began.
 * @property {number} published
 * @property {number} published_bytes
 * @property {number} delivered
 * @property {number} delivered_bytes
 * @property {number} connects
 * @property {ByReason} resumes
 * @property {ByReason} gaps
 * @property {ByReason} dropped
 * @property {ByReason} refused
 * @property {ByReason} disconnects
 *
 * @typedef {object} Lag How many observations were in each bucket, since the worker began; the last is above all bounds.
 * @property {number[]} bounds
 * @property {number[]} counts
 *
 * @typedef {object} Broker
 * @property {string} name
 * @property {boolean} is_shared
 * @property {number} gone_seconds
 * @property {string} why_gone
 * @property {string} refused
 * @property {number} lag_messages
 * @property {number} unacknowledged
 * @property {number} skipped
 *
 * @typedef {object} Log
 * @property {string | null} head
 * @property {number} messages
 * @property {number} bytes
 * @property {number} seconds
 *
 * @typedef {object} Worker
 * @property {string} id
 * @property {string} host
 * @property {number} pid
 * @property {number} since
 * @property {number} at
 * @property {boolean} is_draining
 * @property {number} clients
 * @property {number} users
 * @property {number} direct
 * @property {number} loops
 * @property {number} loop_lag_seconds
 * @property {Counters} counters
 * @property {Lag} lag
 * @property {Broker} broker
 * @property {Log} log
 * @property {{messages: number, bytes: number}} waiting
 *
 * @typedef {object} Topics What was emitted in the last `seconds`: topic, messages, bytes.
 * @property {number} seconds
 * @property {[string, number, number][]} top
 * @property {{topics: number, messages: number}} others
 * @property {number} left_out messages that were not counted, of whatever topics
 *
 * @typedef {object} Row One client.
 * @property {string} key
 * @property {string} worker
 * @property {string | null} user
 * @property {boolean} is_cut whether the user's id is longer
 * @property {string | null} address
 * @property {string[]} topics
 * @property {number} more_topics
 * @property {number} mutes
 * @property {string[] | null} rights
 * @property {number} [more_rights]
 * @property {string | null} query
 * @property {[number, number]} waiting
 * @property {number} since
 * @property {string} way
 * @property {string} state
 *
 * @typedef {object} Clients
 * @property {number} total
 * @property {number} matching
 * @property {number} from
 * @property {Row[]} [rows]
 * @property {Row[]} [slowest]
 *
 * @typedef {object} Report
 * @property {number} at
 * @property {string | null} problem
 * @property {Worker[]} workers
 * @property {Topics} topics
 * @property {Clients} clients
 *
 * @typedef {object} Hello
 * @property {string} viewer
 * @property {string} worker
 * @property {boolean} payloads
 * @property {boolean} actions
 * @property {string} version
 *
 * @typedef {object} Told A message of the tail.
 * @property {number} at
 * @property {string} topic
 * @property {string} id
 * @property {string | null} sender
 * @property {number} bytes
 * @property {string} [payload]
 *
 * @typedef {object} Answer
 * @property {number} status 0 if the server was not reached.
 * @property {string} words What was done, or what went wrong.
 */

const ANSWER_MILLISECONDS = 15_000;

export const SESSION_ENDED = "inspector-session-ended";

/** Whether that status says that who looks may no longer look; the page then hears of it. @param {number} status */
function isEnd(status) {
  const is = status === 401 || status === 403;
  if (is) dispatchEvent(new Event(SESSION_ENDED));
  return is;
}

/** Why a stream was not given: an EventSource doesn't tell.
 * @param {string} address @returns {Promise<string>} "" if the session has ended, which the page hears of
 */
export async function whyClosed(address) {
  const asking = new AbortController();
  try {
    const { status, redirected } = await fetch(address, { signal: asking.signal, headers: { accept: "text/event-stream" } });
    if (isEnd(redirected ? 401 : status)) return "";  // redirected: to where one signs in
    return status === 200 ? "The connection was lost." : `The server answers ${status}.`;
  } catch {
    return "The server can’t be reached.";
  } finally {
    asking.abort();
  }
}

/** Asks the server for something. Never throws: an answer says what went wrong.
 * @param {string} address
 * @param {string} body JSON
 * @returns {Promise<Answer>}
 */
export async function ask(address, body) {
  let response;
  try {
    const headers = { "content-type": "application/json", "x-nitro-inspector": "1" };
    response = await fetch(address, { method: "POST", headers, body, signal: AbortSignal.timeout(ANSWER_MILLISECONDS) });
  } catch (error) {
    const isLate = error instanceof DOMException && error.name === "TimeoutError";
    const why = isLate ? "The server has not answered. Over HTTP/1.1 a browser has six connections to it: close other pages of it." : "The server could not be reached.";
    return { status: 0, words: `${why} Try again.` };
  }
  if (response.redirected) {  // to a login
    dispatchEvent(new Event(SESSION_ENDED));
    return { status: 401, words: "Your session has ended." };
  }
  const { status, ok } = response;
  isEnd(status);
  if (status === 204) return { status, words: "" };
  /** @type {{done?: string, title?: string, detail?: string}} */
  const said = await response.json().catch(() => ({})) ?? {};
  if (ok) return { status, words: String(said.done ?? "Done.") };
  const words = [said.title, said.detail].filter(Boolean).map(String);
  return { status, words: words.join(": ") || `The server answered ${status}.` };
}
