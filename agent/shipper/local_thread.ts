/** The store's thread as the event loop sees it: orders go out, each is answered, and a thread that dies fails them all. */
import { type ErrorFacts, OperationError } from "../base/errors.ts";
import type { PackedBatch } from "./local_batch.ts";
import type { StoreCondition } from "./local_host.ts";
import type { StoreSettings } from "./local_store.ts";

type Task =
  | { kind: "open"; settings: StoreSettings }
  | { kind: "write"; batch: PackedBatch; synchronised: boolean }
  | { kind: "close" };

export type Order = Task & { number: number };
export type Failure = Omit<ErrorFacts, "from"> | { unexpected: string };
export type Answer = { number: number; failure: Failure | undefined } | { condition: StoreCondition };

/** Put in by the compile task: the thread's own bundle beside the main one. */
declare const SENSORLOG_STORE_THREAD: string | undefined;

const script = typeof SENSORLOG_STORE_THREAD === "string" ? SENSORLOG_STORE_THREAD : "./local_worker.ts";

export class StoreThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { done: () => void; failed: (error: Error) => void }>();
  #number = 0;
  #dead: OperationError | undefined;

  /** Starts the thread. `scriptUrl`: what runs in it. */
  constructor(
    private readonly place: string,
    onCondition: (condition: StoreCondition) => void,
    scriptUrl = new URL(script, import.meta.url),
  ) {
    this.#worker = new Worker(scriptUrl, { type: "module", name: "store" });
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      if ("condition" in data) onCondition(data.condition);
      else this.#answered(data);
    };
    const onDeath = (event: ErrorEvent) => {
      event.preventDefault(); // else it would end the process
      this.#die(event.message);
    };
    this.#worker.onerror = onDeath;
  }

  /** Whether it can take orders. */
  get lives(): boolean {
    return this.#dead === undefined;
  }

  /**
   * Has something done. Throws the OperationError that came of it, and a retryable one when the thread dies or `signal`
   * aborts; what was ordered may be done all the same then.
   */
  async order(task: Task, signal?: AbortSignal): Promise<void> {
    if (this.#dead !== undefined) throw this.#dead;
    if (signal?.aborted) throw this.#error("the agent is stopping");
    const number = ++this.#number;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(this.#error("the agent is stopping"));
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#waiting.set(number, { done: resolve, failed: reject });
    try {
      const order: Order = { ...task, number };
      this.#worker.postMessage(order, task.kind === "write" ? buffersOf(task.batch) : []);
      await promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#waiting.delete(number);
    }
  }

  /** Ends the thread, whatever it does. */
  end(): void {
    this.#die("the store was closed");
  }

  #answered({ number, failure }: Extract<Answer, { number: number }>): void {
    const one = this.#waiting.get(number);
    if (failure === undefined) return one?.done();
    if ("unexpected" in failure) return one?.failed(new Error(failure.unexpected));
    one?.failed(new OperationError(failure));
  }

  #die(reason: string): void {
    if (this.#dead !== undefined) return;
    this.#dead = this.#error(`its thread ended: ${reason}`);
    this.#worker.terminate();
    for (const { failed } of this.#waiting.values()) failed(this.#dead);
  }

  #error(cause: string): OperationError {
    return new OperationError({ operation: "ask the store", place: this.place, cause, retryable: true });
  }
}

function buffersOf({ numbers, bytes }: PackedBatch): ArrayBuffer[] {
  return [numbers.buffer, bytes.buffer];
}
