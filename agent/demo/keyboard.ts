/**
 * The keyboard while the demo draws: keys are not echoed into the picture, and Ctrl-C comes as a key. As a signal it would
 * reach npx and `deno task` too, which end at once: the shell would show its prompt before the demo is over.
 */

const endKeys = [0x03, 0x71, 0x51]; // Ctrl-C, q, Q
const readBytes = 64;

export class Keyboard {
  #taken = false;

  /** `onEnd` is called at each key that ends the demo, and when the terminal is gone. */
  constructor(private readonly onEnd: () => void) {
    if (!Deno.stdin.isTerminal()) return;
    Deno.stdin.setRaw(true);
    this.#taken = true;
    void this.#read();
  }

  /** Gives the keyboard back; a second call does nothing. */
  release(): void {
    if (!this.#taken) return;
    this.#taken = false;
    try {
      Deno.stdin.setRaw(false);
    } catch {
      // the terminal is gone
    }
  }

  async #read(): Promise<void> {
    const bytes = new Uint8Array(readBytes);
    while (this.#taken) {
      const count = await Deno.stdin.read(bytes).catch(() => null);
      if (!this.#taken) return;
      if (count === null) return this.onEnd();
      if (bytes.subarray(0, count).some((byte) => endKeys.includes(byte))) this.onEnd();
    }
  }
}
