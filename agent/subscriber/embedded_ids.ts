/**
 * QoS 2 packet ids of the clients of the agent's own broker, from PUBLISH to PUBREL: a repeated PUBLISH is known by client
 * id and packet id (4.3.3). They live as long as this process: after its end a repetition is a new message.
 */
import { embeddedHeldMax, embeddedHoldersMax } from "../limits.ts";

/** One message at QoS 2. */
export interface HeldMessage {
  /** Not durable yet; durable and not yet seen by aedes; known to aedes. */
  state: "pending" | "stored" | "known";
  /** Repetitions that wait for the same commit. */
  readonly repetitions: ((error: Error | null) => void)[];
}

export class EmbeddedIds {
  /** By client id, the one used last at the end. */
  readonly #clients = new Map<string, Map<number, HeldMessage>>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  find(clientId: string, packetId: number): HeldMessage | undefined {
    return this.#clients.get(clientId)?.get(packetId);
  }

  /** A new message takes the id, whatever it named before. */
  begin(clientId: string, packetId: number): HeldMessage {
    const ids = this.#clients.get(clientId) ?? new Map<number, HeldMessage>();
    this.#clients.delete(clientId);
    this.#clients.set(clientId, ids);
    const message: HeldMessage = { state: "pending", repetitions: [] };
    if (!ids.has(packetId)) this.#count++;
    ids.set(packetId, message);
    this.#limit();
    return message;
  }

  /** PUBREL, or the message could not be stored. Returns whether the id was held. */
  release(clientId: string, packetId: number): boolean {
    const ids = this.#clients.get(clientId);
    if (ids === undefined || !ids.delete(packetId)) return false;
    this.#count--;
    if (ids.size === 0) this.#clients.delete(clientId);
    return true;
  }

  /** The client's session is over. */
  forget(clientId: string): void {
    this.#count -= this.#clients.get(clientId)?.size ?? 0;
    this.#clients.delete(clientId);
  }

  /** Forgets who was silent longest: their repetitions would be stored twice, and nothing is lost. */
  #limit(): void {
    while (this.#count > embeddedHeldMax || this.#clients.size > embeddedHoldersMax) {
      this.forget(this.#clients.keys().next().value!);
    }
  }
}
