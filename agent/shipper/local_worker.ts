/**
 * The thread of a local store: SQLite's calls block, and reception must not wait for them. It does what `local_thread.ts`
 * asks, one thing after the other, and looks after the store in between.
 */
import { OperationError } from "../base/errors.ts";
import { collectGarbage } from "../base/garbage.ts";
import { storeTendMs } from "../limits.ts";
import type { PackedBatch } from "./local_batch.ts";
import { StoreHost } from "./local_host.ts";
import type { Answer, Failure, Order } from "./local_thread.ts";

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Order>) => void;
  postMessage(answer: Answer): void;
};

let host: StoreHost | undefined;
let told = "";
let timer: ReturnType<typeof setTimeout> | undefined;
let batches = 0;
/** Garbage of so many batches is worth a collection, which takes some milliseconds. */
const batchesToCollect = 20;
let turn: Promise<void> = Promise.resolve();

scope.onmessage = ({ data }) => {
  turn = turn.then(() => obey(data));
};

async function obey(order: Order): Promise<void> {
  let failure: Failure | undefined;
  try {
    await run(order);
  } catch (error) {
    failure = failureOf(error);
  }
  scope.postMessage({ number: order.number, failure });
  tellCondition();
}

async function run(order: Order): Promise<void> {
  switch (order.kind) {
    case "open":
      host ??= new StoreHost(order.settings);
      await host.open();
      return tendIn(0);
    case "write":
      try {
        batches++;
        host?.write(order.batch, order.synchronised);
      } finally {
        discard(order.batch);
      }
      return tendIn(0);
    case "close":
      clearTimeout(timer);
      return host?.close();
  }
}

/** Frees the memory of a batch at once; the garbage collector would let many of them gather. */
function discard({ numbers, bytes }: PackedBatch): void {
  numbers.buffer.transfer(0);
  bytes.buffer.transfer(0);
}

/** Here nobody waits for it. */
function collectNowAndThen(): void {
  if (batches < batchesToCollect) return;
  batches = 0;
  collectGarbage();
}

/** One step at a time, so that a batch need not wait long. */
function tendIn(timeMs: number): void {
  clearTimeout(timer);
  timer = setTimeout(() => {
    turn = turn.then(async () => {
      const more = await host!.tend();
      tellCondition();
      if (!more) collectNowAndThen();
      tendIn(more ? 0 : storeTendMs);
    });
  }, timeMs);
}

function tellCondition(): void {
  const condition = host?.condition();
  const text = JSON.stringify(condition);
  if (condition === undefined || text === told) return;
  told = JSON.stringify({ ...condition, notes: [] });
  scope.postMessage({ condition });
}

/** An error as what a message can carry. */
function failureOf(error: unknown): Failure {
  if (!(error instanceof OperationError)) {
    return { unexpected: error instanceof Error ? error.stack ?? error.message : String(error) };
  }
  const { operation, place, reason, remedy, retryable } = error;
  return { operation, place, cause: reason, ...(remedy === undefined ? {} : { remedy }), retryable };
}
