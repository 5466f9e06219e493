/**
 * A server between shipper and Elasticsearch that shows the faults which a real one can't be made to show at a chosen
 * moment: it answers by itself, cuts answers off, shows another certificate, or is not there.
 */
import type { Certificate } from "../lab/certificates.ts";
import { freePort } from "../lab/ports.ts";

/** What to do with a request: an answer of its own, or undefined to pass it on. */
export type Fault = (request: Request, passOn: () => Promise<Response>) => Promise<Response | undefined>;

/** Headers of an answer of Elasticsearch. */
export const ofElasticsearch = { "x-elastic-product": "Elasticsearch", "content-type": "application/json" };

export class FaultProxy {
  readonly port = freePort();
  /** Requests that have come, `POST /_bulk` and the like. */
  readonly requests: string[] = [];
  fault: Fault = () => Promise.resolve(undefined);
  #server: Deno.HttpServer | undefined;
  #https = false;

  /** `upstream`: URL of the real server. */
  constructor(private readonly upstream: string) {}

  get url(): string {
    return `${this.#https ? "https" : "http"}://127.0.0.1:${this.port}`;
  }

  /** Listens, with TLS when a certificate is given. */
  async up(certificate?: Certificate): Promise<this> {
    await this.down();
    this.#https = certificate !== undefined;
    const tls = certificate === undefined ? {} : {
      cert: await Deno.readTextFile(certificate.certificate),
      key: await Deno.readTextFile(certificate.key),
    };
    const options = {
      hostname: "127.0.0.1",
      port: this.port,
      ...tls,
      onListen() {},
      onError: () => new Response("", { status: 500 }),
    };
    this.#server = Deno.serve(options, (request) => this.#handle(request));
    return this;
  }

  /** Connections are refused from now on. */
  async down(): Promise<void> {
    await this.#server?.shutdown();
    this.#server = undefined;
  }

  /** Answers every bulk request by itself. */
  answerBulk(make: () => Response): void {
    this.fault = async (request) => {
      if (!request.url.includes("_bulk")) return undefined;
      await request.body?.cancel();
      return make();
    };
  }

  /** Passes everything on. */
  heal(): void {
    this.fault = () => Promise.resolve(undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }

  async #handle(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    this.requests.push(`${request.method} ${pathname}`);
    const passOn = () =>
      fetch(this.upstream + pathname + search, {
        method: request.method,
        headers: request.headers,
        body: request.body,
        redirect: "manual",
      });
    const own = await this.fault(request, passOn);
    if (own !== undefined) return own;
    const answer = await passOn();
    const headers = new Headers(answer.headers);
    headers.delete("content-length");
    // fetch has unpacked everything but this
    if (headers.get("content-encoding") !== "deflate") headers.delete("content-encoding");
    return new Response(answer.body, { status: answer.status, headers });
  }
}

/** An answer that is cut off after its first bytes. */
export function cutOff(): Response {
  const start = new TextEncoder().encode('{"errors":false,"items":[');
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      controller.enqueue(start);
      await new Promise((done) => setTimeout(done, 20));
      controller.error(new Error("cut off"));
    },
  });
  return new Response(body, { headers: ofElasticsearch });
}
