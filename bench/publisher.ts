/** Publishes the readings into a real broker, from a worker of this process. */
import type { Order, Poured } from "./pour.ts";
import type { FromPublisher, ToPublisher } from "./publisher_worker.ts";

/** Resolves when the broker has acknowledged all, the end message included. */
export async function publish(port: number, order: Order): Promise<Poured> {
  const worker = new Worker(new URL("./publisher_worker.ts", import.meta.url), { type: "module" });
  try {
    return await new Promise<Poured>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<FromPublisher>) => {
        if (data.kind === "poured") resolve(data.poured);
        else reject(new Error(`the publisher failed: ${data.why}`));
      };
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(`the publisher failed: ${event.message}`));
      };
      worker.postMessage({ port, order } satisfies ToPublisher);
    });
  } finally {
    worker.terminate();
  }
}
