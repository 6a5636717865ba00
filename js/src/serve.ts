// What a shared worker's script runs.

import { browser, portOf } from "./browser.js";
import { serve } from "./ways.js";

export function serveAll(): void {
  const welcome = serve(browser());
  const scope = self as unknown as { onconnect: (event: MessageEvent) => void };
  scope.onconnect = ({ ports: [opened] }) => {
    const port = portOf(opened!, (data) => hear(data));
    const hear = welcome(port);
  };
}
