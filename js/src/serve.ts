// What a shared worker's script runs.

import { browser } from "./browser.js";
import { serve } from "./ways.js";

export function serveAll(): void {
  const welcome = serve(browser());
  const scope = self as unknown as { onconnect: (event: MessageEvent) => void };
  scope.onconnect = ({ ports: [port] }) => {
    if (!port) return;
    const hear = welcome({ post: (data) => port.postMessage(data), close: () => port.close() });
    port.onmessage = ({ data }) => hear(data);
  };
}
