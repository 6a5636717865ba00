// The shared worker of `connect(url, { worker: new URL("nitro-realtime/worker", import.meta.url) })`.

import { serve } from "./ways.js";

serve(self as unknown as Parameters<typeof serve>[0]);
