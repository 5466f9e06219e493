/** What systemd is for sd_notify(3): a datagram socket that hears what a service says of itself. */
import assert from "node:assert/strict";

const symbols = {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  close: { parameters: ["i32"], result: "i32" },
} as const;

/** One that listens at a path or, with `@` before it, at an abstract name. */
export class ServiceManager implements Disposable {
  readonly #library = Deno.dlopen("libc.so.6", symbols);
  readonly #socket = this.#library.symbols.socket(1, 2, 0);
  readonly #received: string[] = [];

  constructor(readonly name: string) {
    const address = new TextEncoder().encode(`\x01\x00${name.replace(/^@/, "\0")}`);
    assert.equal(this.#library.symbols.bind(this.#socket, address, address.length), 0);
  }

  /** Everything that has come so far. */
  get received(): string[] {
    const dontWait = 0x40;
    const bytes = new Uint8Array(4_096);
    while (true) {
      const length = Number(this.#library.symbols.recv(this.#socket, bytes, BigInt(bytes.length), dontWait));
      if (length < 0) return this.#received;
      this.#received.push(new TextDecoder().decode(bytes.subarray(0, length)));
    }
  }

  [Symbol.dispose](): void {
    this.#library.symbols.close(this.#socket);
    this.#library.close();
    if (this.name.startsWith("/")) Deno.removeSync(this.name);
  }
}
