/** A broker as the model sees it: one session, packet ids that are used again soon, redelivery on every connection. */

export type Qos = 0 | 1 | 2;

/** What the broker sends: a PUBLISH, or a PUBREL (without text). */
export type Delivery =
  | { kind: "publish"; qos: Qos; packetId: number; text: string; duplicate: boolean }
  | { kind: "pubrel"; packetId: number };

export interface Acknowledgement {
  kind: "puback" | "pubrec" | "pubcomp";
  packetId: number;
}

interface InFlight {
  qos: 1 | 2;
  text: string;
  /** PUBREC came: PUBREL is what is sent from now on. */
  received: boolean;
}

export class Broker {
  /** The session exists: the agent has subscribed in it. */
  sessionPresent = false;
  /** Texts whose PUBACK or PUBREC arrived, with their QoS. */
  readonly acknowledged = new Map<string, Qos>();
  /** How often each text was sent, and at which QoS. */
  readonly sent = new Map<string, { qos: Qos; times: number }>();
  #inFlight = new Map<number, InFlight>();
  #releases: number[] = [];
  #published = 0;

  get idle(): boolean {
    return this.#inFlight.size === 0;
  }

  /** A new message; undefined when all packet ids are in use. */
  publish(qos: Qos): Delivery | undefined {
    const packetId = qos === 0 ? 0 : [1, 2, 3, 4, 5].find((id) => !this.#inFlight.has(id));
    if (packetId === undefined) return undefined;
    const text = `${++this.#published} at ${qos}`;
    if (qos !== 0) this.#inFlight.set(packetId, { qos, text, received: false });
    return this.#send({ kind: "publish", qos, packetId, text, duplicate: false });
  }

  acknowledge({ kind, packetId }: Acknowledgement): void {
    const message = this.#inFlight.get(packetId);
    if (message === undefined) return;
    if (kind === "pubrec") {
      message.received = true;
      this.#releases.push(packetId);
    } else {
      this.#inFlight.delete(packetId);
    }
    if (kind !== "pubcomp") this.acknowledged.set(message.text, message.qos);
  }

  /** PUBRELs that are due. */
  takeReleases(): Delivery[] {
    return this.#releases.splice(0).map((packetId) => ({ kind: "pubrel", packetId }));
  }

  /** What a new connection brings first: everything under way, in order. */
  redeliver(): Delivery[] {
    this.#releases = [];
    return [...this.#inFlight].map(([packetId, { qos, text, received }]) =>
      received
        ? { kind: "pubrel", packetId }
        : this.#send({ kind: "publish", qos, packetId, text, duplicate: true })
    );
  }

  /** The session is gone, with all that was under way in it. */
  loseSession(): void {
    this.sessionPresent = false;
    this.#inFlight.clear();
    this.#releases = [];
  }

  #send(delivery: Delivery & { kind: "publish" }): Delivery {
    const times = (this.sent.get(delivery.text)?.times ?? 0) + 1;
    this.sent.set(delivery.text, { qos: delivery.qos, times });
    return delivery;
  }
}
