/** What a service manager hears from a service (sd_notify): a datagram socket, which Deno itself offers only as unstable. */

const symbols = {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  close: { parameters: ["i32"], result: "i32" },
} as const;

const unixFamily = 1;
const datagram = 2;
const dontWait = 0x40;
const pollMs = 5;

/** Listens at `path`, which is at most 107 bytes long; `using` closes and removes it. */
export class NotifySocket implements Disposable {
  /** Every datagram so far, with the time at which it was seen. */
  readonly heard: { atMs: number; text: string }[] = [];
  readonly #library = Deno.dlopen("libc.so.6", symbols);
  readonly #socket = this.#library.symbols.socket(unixFamily, datagram, 0);
  readonly #timer: number;

  constructor(readonly path: string) {
    const address = new Uint8Array([unixFamily, 0, ...new TextEncoder().encode(path), 0]);
    if (this.#library.symbols.bind(this.#socket, address, address.length) !== 0) {
      throw new Error(`can't listen at ${path}`);
    }
    this.#timer = setInterval(() => this.#receive(), pollMs);
  }

  /** Whether a datagram has matched. */
  has(pattern: RegExp): boolean {
    return this.heard.some(({ text }) => pattern.test(text));
  }

  #receive(): void {
    const bytes = new Uint8Array(4_096);
    while (true) {
      const length = Number(this.#library.symbols.recv(this.#socket, bytes, BigInt(bytes.length), dontWait));
      if (length < 0) return;
      this.heard.push({ atMs: performance.now(), text: new TextDecoder().decode(bytes.subarray(0, length)) });
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#library.symbols.close(this.#socket);
    this.#library.close();
    Deno.removeSync(this.path);
  }
}
