/** The raw source as the rows use it: a broker of our own in a worker of this process, so not in the measured one. */
import type { Order, Poured } from "./pour.ts";
import type { FromSource, ToSource } from "./source_worker.ts";

type Kind = FromSource["kind"];

export class Source {
  port = 0;
  readonly #worker = new Worker(new URL("./source_worker.ts", import.meta.url), { type: "module" });
  readonly #waiting = new Map<Kind, PromiseWithResolvers<FromSource>>();

  private constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<FromSource>) => {
      if (data.kind === "failed") this.#fail(new Error(`the source failed: ${data.why}`));
      else this.#slot(data.kind).resolve(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(`the source failed: ${event.message}`));
    };
  }

  /** Starts it on a free port. */
  static async start(): Promise<Source> {
    const source = new Source();
    source.port = (await source.#next("listening", 10_000)).port;
    return source;
  }

  #slot(kind: Kind): PromiseWithResolvers<FromSource> {
    const known = this.#waiting.get(kind) ?? Promise.withResolvers<FromSource>();
    known.promise.catch(() => {}); // told to whoever waits for it
    this.#waiting.set(kind, known);
    return known;
  }

  #fail(error: Error): void {
    for (const kind of ["listening", "subscribed", "poured"] as const) this.#slot(kind).reject(error);
  }

  async #next<K extends Kind>(kind: K, patienceMs: number): Promise<FromSource & { kind: K }> {
    const slot = this.#slot(kind);
    const timer = setTimeout(
      () => slot.reject(new Error(`not "${kind}" within ${patienceMs / 1000} s`)),
      patienceMs,
    );
    try {
      return await slot.promise as FromSource & { kind: K };
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(kind);
    }
  }

  /** When SUBACK was sent to the client, ms since 1970. */
  async subscribed(): Promise<number> {
    return (await this.#next("subscribed", 30_000)).atMs;
  }

  /** Pours into the client that has subscribed. `payloadBytes`: payloads of that size instead of the usual readings. */
  async pour(order: Order, payloadBytes?: number): Promise<Poured> {
    const message: ToSource = { kind: "pour", order, payloadBytes };
    this.#worker.postMessage(message);
    const paceMs = order.perS === undefined ? 0 : order.count / order.perS * 1000;
    return (await this.#next("poured", 300_000 + paceMs)).poured;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
