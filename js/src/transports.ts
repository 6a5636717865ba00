// How a stream is read: by `fetch`, which can send headers and tells why it was refused. An `EventSource` does neither.

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
  headers: Headers;
}

export type Close = () => void;

export function read({ url, credentials, headers }: Request, sink: Sink): Close {
  const aborter = new AbortController();
  const run = async () => {
    const { status, body, headers: answered } = await fetch(url, {
      headers: { Accept: "text/event-stream", ...headers },
      cache: "no-store",
      credentials,
      signal: aborter.signal,
    });
    if (status !== 200 || !body || !answered.get("content-type")?.startsWith("text/event-stream")) {
      aborter.abort();
      return sink.end(failed(status), Math.min(+answered.get("retry-after")! || 0, 3600)); // a date is left to the wait that grows
    }
    const feed = parser(sink.event);
    await body.pipeThrough(new TextDecoderStream()).pipeTo(new WritableStream({ write: feed }));
  };
  const over = (error: any) => aborter.signal.aborted || sink.end(error && { message: error.message });
  run().then(over, over);
  return () => aborter.abort();
}

const REASONS: Record<number, string> = {
  200: "No stream of Nitro's: use EventSourceResponse.",
  204: "The server stopped it.",
  401: "Log in and connect again.",
  403: "You may not hear this.",
  414: "Too many topics: use requested_topics.",
  419: "Another user has logged in: reload.",
};

/** 419 is nobody's status; here it says that the stream is for somebody else than before. */
export const failed = (status: number): Failure => ({ status, message: REASONS[status] ?? `The server answered ${status}.` });
