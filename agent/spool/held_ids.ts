/**
 * QoS 2 packet ids that were received and not yet released. Changes of a batch can be taken back until `settle`; a
 * session number tells records before a forget from those after it, even when the forget itself is damaged.
 */
const idsMax = 65_536;
const undoForget = -1;

export class HeldIds {
  readonly #held = new Uint8Array(idsMax);
  #count = 0;
  #session = 0;
  /** Since the last settle: the id, plus idsMax when it was held before; or undoForget. */
  #changes: number[] = [];

  /** How often the broker's session was forgotten since the spool's beginning. */
  get session(): number {
    return this.#session;
  }
  get count(): number {
    return this.#count;
  }

  has(id: number): boolean {
    return this.#held[id] === 1;
  }

  /** 0 names no packet: a message that came through the agent's own broker, where each client counts for itself. */
  add(id: number): void {
    if (id !== 0) this.#change(id, 1);
  }

  release(id: number): void {
    this.#change(id, 0);
  }

  /** No id is held any more; the next session begins. */
  forget(): void {
    for (const id of this.list()) this.#change(id, 0);
    this.#session++;
    this.#changes.push(undoForget);
  }

  /** Takes a state from disk. */
  set(session: number, ids: Iterable<number>): void {
    this.#held.fill(0);
    this.#count = 0;
    for (const id of ids) this.#change(id, 1);
    this.#session = session;
    this.settle();
  }

  /** Makes the changes since the last settle final. */
  settle(): void {
    if (this.#changes.length > 0) this.#changes = [];
  }

  /** Takes back the changes since the last settle. */
  undo(): void {
    for (let i = this.#changes.length - 1; i >= 0; i--) {
      const change = this.#changes[i]!;
      if (change === undoForget) this.#session--;
      else this.#write(change % idsMax, change >= idsMax ? 1 : 0);
    }
    this.#changes = [];
  }

  /** Held ids in ascending order. */
  list(): number[] {
    const ids: number[] = [];
    if (this.#count === 0) return ids;
    for (let id = this.#held.indexOf(1); id >= 0; id = this.#held.indexOf(1, id + 1)) ids.push(id);
    return ids;
  }

  /** The state at the last settle. */
  settled(): { session: number; ids: number[] } {
    if (this.#changes.length === 0) return { session: this.#session, ids: this.list() };
    const copy = new HeldIds();
    copy.set(this.#session, this.list());
    copy.#changes = this.#changes;
    copy.undo();
    return { session: copy.#session, ids: copy.list() };
  }

  #change(id: number, held: 0 | 1): void {
    if (this.#held[id] === held) return;
    this.#changes.push(held === 1 ? id : id + idsMax);
    this.#write(id, held);
  }

  #write(id: number, held: 0 | 1): void {
    this.#count += held - this.#held[id]!;
    this.#held[id] = held;
  }
}
