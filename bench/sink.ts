/** The bulk sink as the rows use it: in a worker of this process, so not in the measured one. */
import type { Arrived } from "./arrivals.ts";
import type { FromSink, Seen, ToSink } from "./sink_worker.ts";

export class Sink {
  port = 0;
  readonly #worker = new Worker(new URL("./sink_worker.ts", import.meta.url), { type: "module" });
  #next = Promise.withResolvers<FromSink>();

  private constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<FromSink>) => {
      if (data.kind === "failed") this.#next.reject(new Error(`the sink failed: ${data.why}`));
      else this.#next.resolve(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#next.reject(new Error(`the sink failed: ${event.message}`));
    };
  }

  static async start(): Promise<Sink> {
    const sink = new Sink();
    const first = await sink.#message();
    if (first.kind === "listening") sink.port = first.port;
    return sink;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async #message(): Promise<FromSink> {
    try {
      return await this.#next.promise;
    } finally {
      this.#next = Promise.withResolvers<FromSink>();
      this.#next.promise.catch(() => {}); // told to whoever asks next
    }
  }

  async #ask<K extends FromSink["kind"]>(message: ToSink, kind: K): Promise<FromSink & { kind: K }> {
    this.#worker.postMessage(message);
    const answer = await this.#message();
    if (answer.kind !== kind) throw new Error(`the sink answered "${answer.kind}"`);
    return answer as FromSink & { kind: K };
  }

  /** Forgets what came, and keeps the next `keep` documents. */
  async reset(keep = 0): Promise<void> {
    await this.#ask({ kind: "reset", keep }, "seen");
  }

  /** Forgets what came, and notes from now on when the readings 0 to n-1 are indexed: here, or in a real server. */
  async note(readings: number, upstream?: string): Promise<void> {
    await this.#ask({ kind: "note", readings, upstream }, "seen");
  }

  /** What `note` asked for. */
  async arrived(): Promise<Arrived> {
    return (await this.#ask({ kind: "arrived" }, "arrived")).arrived;
  }

  /** What came since the last reset. */
  async seen(): Promise<Seen> {
    return (await this.#ask({ kind: "ask" }, "seen")).seen;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
