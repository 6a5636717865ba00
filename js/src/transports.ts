// The two ways to read a stream. Both give the same to their sink, and say once that it is over.

import { parser } from "./parser.js";

export type Headers = Record<string, string>;

/** Why a stream is not to be had. `status` is the server's, if it answered. */
export interface Failure {
  status?: number;
  message: string;
}

export interface Sink {
  event(type: string, data: string, id: string): void;
  /** The stream ended; `failure` if it was refused; `seconds` if the server says for how long. */
  end(failure?: Failure, seconds?: number): void;
}

export interface Request {
  url: string;
  credentials: RequestCredentials;
  headers: Headers | undefined;
  /** Whether to learn why it is refused. */
  asksWhy: boolean;
}

export type Close = () => void;

export function read(request: Request, sink: Sink): Close {
  const canTell = request.headers || request.asksWhy || typeof EventSource === "undefined";
  return (canTell ? openFetch : openEventSource)(request, sink);
}

/** The browser's own. It can send no headers, and doesn't tell why it was refused. */
function openEventSource({ url, credentials }: Request, sink: Sink): Close {
  const source = new EventSource(url, { withCredentials: credentials === "include" });
  const hear = ({ type, data, lastEventId }: MessageEvent<string>) => sink.event(type, data, lastEventId);
  source.onmessage = hear;
  source.addEventListener("gap", hear);
  source.onerror = () => {
    const isRefused = source.readyState === EventSource.CLOSED;
    source.close();
    sink.end(isRefused ? { message: "The server refused it." } : undefined);
  };
  return () => source.close();
}

function openFetch({ url, credentials, headers }: Request, sink: Sink): Close {
  const aborter = new AbortController();
  const run = async () => {
    const response = await fetch(url, {
      headers: { Accept: "text/event-stream", ...headers },
      cache: "no-store",
      credentials,
      signal: aborter.signal,
    });
    const { status, body } = response;
    if (status !== 200 || !body || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
      aborter.abort();
      const after = response.headers.get("retry-after") ?? "";
      const seconds = /^\d+$/.test(after) ? Number(after) : (Date.parse(after) - Date.now()) / 1000;
      return sink.end({ status, message: explain(status) }, Math.min(Math.max(seconds || 0, 0), 3600));
    }
    const feed = parser(sink.event);
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) feed(part.value);
    return sink.end();
  };
  run().catch(() => aborter.signal.aborted || sink.end());
  return () => aborter.abort();
}

const REASONS: Record<number, string> = {
  200: "This is no stream of Nitro's: return an EventSourceResponse.",
  204: "The server ended it, and wants nobody back.",
  401: "Log in, and connect again.",
  403: "You may not hear these topics.",
  414: "So many topics are sent in headers: let the endpoint read them with nitro.requested_topics.",
  419: "Somebody else has logged in: load the page again.",
};

/** 419 is nobody's status; here it says that the stream is for somebody else than before. */
export const explain = (status: number) => REASONS[status] ?? `The server answered ${status}.`;
