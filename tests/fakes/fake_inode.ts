/** The content of one file on the fake disk: what everybody sees, what would survive a crash, and what lies between. */

export type CrashMode = "lost" | "kept" | "half" | "reordered" | "zeroed";

type Change = { kind: "write"; at: number; bytes: Uint8Array } | { kind: "truncate"; sizeBytes: number };

/** Small, so that a test's few hundred bytes span several. */
const blockBytes = 32;

/** Bytes that grow. */
class Content {
  #bytes = new Uint8Array(256);
  size = 0;

  write(at: number, bytes: Uint8Array): void {
    const end = at + bytes.length;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, this.size));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, at);
    this.size = Math.max(this.size, end);
  }

  resize(sizeBytes: number): void {
    if (sizeBytes > this.size) this.write(this.size, new Uint8Array(sizeBytes - this.size));
    this.#bytes.fill(0, sizeBytes, this.size);
    this.size = sizeBytes;
  }

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.size);
  }

  apply(change: Change): void {
    if (change.kind === "write") this.write(change.at, change.bytes);
    else this.resize(change.sizeBytes);
  }
}

export class FakeInode {
  #seen = new Content();
  #durable = new Content();
  #changes: Change[] = [];
  #settled = 0;

  get sizeBytes(): number {
    return this.#seen.size;
  }

  /** Changes ever made. */
  get changeCount(): number {
    return this.#settled + this.#changes.length;
  }

  content(): Uint8Array {
    return this.#seen.view().slice();
  }

  append(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#change({ kind: "write", at: this.#seen.size, bytes: bytes.slice() });
  }

  truncate(sizeBytes: number): void {
    this.#change({ kind: "truncate", sizeBytes });
  }

  readAt(into: Uint8Array, at: number): number {
    const part = this.#seen.view().subarray(at, at + into.length);
    into.set(part);
    return part.length;
  }

  /** Makes the first `count` changes ever made durable. */
  settleChanges(count: number): void {
    for (const change of this.#take(count)) this.#durable.apply(change);
  }

  /** They are seen until the next crash and never become durable. */
  loseChanges(count: number): void {
    this.#take(count);
  }

  /** Other content, durable at once. */
  become(bytes: Uint8Array): void {
    for (const content of [this.#seen, this.#durable]) {
      content.resize(0);
      content.write(0, bytes);
    }
    this.#take(this.changeCount);
  }

  /** What survives is what is seen from now on. */
  crash(mode: CrashMode, random: () => number): void {
    const changes = this.#take(this.changeCount);
    const keptWhole = mode === "half" ? Math.floor(random() * (changes.length + 1)) : changes.length;
    changes.forEach((change, i) => {
      if (mode === "lost" || i > keptWhole) return;
      if (change.kind === "truncate") {
        if (mode === "kept" || random() < 0.5) this.#durable.apply(change);
      } else if (mode === "kept" || (mode === "half" && i < keptWhole)) {
        this.#durable.apply(change);
      } else {
        writeSome(this.#durable, change.at, change.bytes, mode, random);
      }
    });
    this.#seen = new Content();
    this.#seen.write(0, this.#durable.view());
  }

  #change(change: Change): void {
    this.#changes.push(change);
    this.#seen.apply(change);
  }

  #take(count: number): Change[] {
    const taken = this.#changes.splice(0, Math.max(0, count - this.#settled));
    this.#settled += taken.length;
    return taken;
  }
}

/** What of one write a crash leaves. */
function writeSome(
  into: Content,
  at: number,
  bytes: Uint8Array,
  mode: "half" | "reordered" | "zeroed" | "kept" | "lost",
  random: () => number,
): void {
  const from = Math.floor(random() * (bytes.length + 1));
  if (mode === "half") return into.write(at, bytes.subarray(0, from));
  if (mode === "zeroed") {
    into.write(at, bytes.subarray(0, from));
    return into.write(at + from, new Uint8Array(bytes.length - from));
  }
  for (let i = 0; i < bytes.length;) {
    const end = Math.min(bytes.length, i + blockBytes - (at + i) % blockBytes);
    if (random() < 0.5) {
      if (at + i > into.size) into.resize(at + i);
      into.write(at + i, bytes.subarray(i, end));
    }
    i = end;
  }
}
