// The protocol's own client: `write URL FIRST COUNT [close]`, or `follow URL LIVE`, which prints a value a line.
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client";

const [what, url, ...rest] = process.argv.slice(2);

async function write(first, count, closes) {
  const handle = await DurableStream.create({ url, contentType: "application/json" });
  const producer = new IdempotentProducer(handle, `from ${first}`, {
    autoClaim: true,
    onError: (error) => {
      throw error;
    },
  });
  for (let n = first; n < first + count; n++) producer.append(JSON.stringify({ n }));
  await producer.flush();
  await (closes ? producer.close() : producer.detach());
}

// The client connects again by itself, but for a stream of events whose server has died in the middle of it.
async function follow(live) {
  for (let offset = "-1", ended = false; !ended; ) {
    try {
      const response = await stream({ url, live, offset, json: true });
      const failed = response.closed.then(() => new Promise(() => {})); // it is closed before its last batch is here
      const closed = new Promise((resolve) => {
        response.subscribeJson((batch) => {
          for (const value of batch.items) console.log(value.n);
          offset = batch.offset;
          if (batch.streamClosed) resolve();
        });
      });
      await Promise.race([closed, failed]);
      ended = true;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }
  console.log("closed");
}

await (what === "write" ? write(Number(rest[0]), Number(rest[1]), rest[2] === "close") : follow(rest[0]));
