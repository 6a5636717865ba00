"""What tracing costs: one emit with no client, and with 1,000 streams whose server's `send` does nothing.

`python benchmarks/tracing.py`, in the environment that `make bench` makes. The ways take turns in each round, and it
prints the median of the rounds: CPU microseconds of this process for each emit.

- off: nothing is instrumented. It is what an emit costs where OpenTelemetry isn't installed, too: nothing is imported.
- not sampled: instrumented, and the sampler drops each trace.
- sampled: two spans an emit, handed to a batch processor whose exporter drops them; the message carries a context.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from statistics import median

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from starlette.types import Message

import nitro
from nitro.otel import NitroInstrumentor

TICK = nitro.event("bench.tick")
RESULT = {"i": 1, "title": "x" * 60, "done": False}
STREAMS = 1_000


class Dropping(SpanExporter):
    """Takes spans and keeps none."""

    def export(self, _: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def traced(sampler: Sampler) -> Callable[[], AbstractContextManager[None]]:
    provider = TracerProvider(sampler)
    provider.add_span_processor(BatchSpanProcessor(Dropping(), max_queue_size=100_000))

    @contextmanager
    def way() -> Iterator[None]:
        NitroInstrumentor().instrument(tracer_provider=provider)
        yield
        NitroInstrumentor().uninstrument()

    return way


WAYS = {"off": nullcontext, "not sampled": traced(ALWAYS_OFF), "sampled": traced(ALWAYS_ON)}


def to_nobody(emits: int) -> float:
    began = time.process_time()
    for _ in range(emits):
        nitro.emit(TICK, "bench", result=RESULT)
    return (time.process_time() - began) / emits * 1e6


class Streams:
    """Streams in the running loop; each emit goes out to all of them before the next."""

    def __init__(self) -> None:
        self._sent, self._wanted = 0, 2 * STREAMS  # the head and the first bytes
        self._arrived = asyncio.Event()

    async def _send(self, _: Message) -> None:
        self._sent += 1
        if self._sent == self._wanted:
            self._arrived.set()

    async def _receive(self) -> Message:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def open(self) -> list[asyncio.Task[None]]:
        def response() -> nitro.EventSourceResponse:
            return nitro.EventSourceResponse(nitro.Client(topics=["bench.*"]))

        scope = {"type": "http", "method": "GET", "path": "/events", "query_string": b"", "headers": []}
        tasks = [asyncio.create_task(response()(dict(scope), self._receive, self._send)) for _ in range(STREAMS)]
        await self._arrived.wait()
        return tasks

    async def emit(self, emits: int) -> float:
        began = time.process_time()
        for _ in range(emits):
            self._arrived.clear()
            self._wanted = self._sent + STREAMS
            nitro.emit(TICK, "bench", result=RESULT)
            await self._arrived.wait()
        return (time.process_time() - began) / emits * 1e6


async def measured(rounds: int) -> None:
    took: dict[tuple[str, str], list[float]] = {}
    for clients in ("no client", f"{STREAMS:,} clients"):
        streams = Streams()
        tasks = [] if clients == "no client" else await streams.open()
        for _ in range(rounds):
            for name, way in WAYS.items():
                gc.collect()
                with way():
                    each = await streams.emit(20) if tasks else to_nobody(1_000)
                took.setdefault((clients, name), []).append(each)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for (clients, name), values in took.items():
        print(f"{clients:13} {name:12} {median(values):8.1f} µs ({min(values):.1f} to {max(values):.1f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    asyncio.run(measured(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
