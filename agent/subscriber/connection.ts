/** One connection to the broker, from CONNECT to the last byte: gate, session and receive loop put together. */
import type { IConnackPacket, IDisconnectPacket } from "mqtt-packet";
import { reasonOf } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import { connackMs } from "../limits.ts";
import type { MqttSettings } from "../settings.ts";
import { spokenReason } from "./control_packet.ts";
import type { Counters } from "./counters.ts";
import type { ProtocolVersion } from "./framing.ts";
import { Gate } from "./gate.ts";
import type { Intake } from "./intake.ts";
import type { Pace } from "./pace.ts";
import { PacketWalk } from "./packet_walk.ts";
import type { QueuedWatch } from "./queued_watch.ts";
import type { ReceiveBuffer } from "./receive_buffer.ts";
import { type ReceiveEnd, ReceiveLoop } from "./receive_loop.ts";
import { Session } from "./session.ts";
import type { Transport } from "./transport.ts";

/** How a connection ended. */
export interface ConnectionEnd {
  /**
   * "stopped": we were asked to. "full": the disk has no room. "disk": it refuses for another reason. "refused": a CONNACK said no. "silent": the broker closed
   * or kept silent before CONNACK. "closed": the broker closed later. "failed": anything else.
   */
  kind: "stopped" | "full" | "disk" | "refused" | "silent" | "closed" | "failed";
  reason: string;
  /** Reason code of CONNACK or of the broker's DISCONNECT. */
  code: number | undefined;
  /** Time from CONNACK to the end, ms; undefined: there was none. */
  connectedMs: number | undefined;
}

export interface ConnectionParts {
  transport: Transport;
  settings: MqttSettings;
  version: ProtocolVersion;
  clock: Clock;
  counters: Counters;
  intake: Intake;
  queued: QueuedWatch;
  buffer: ReceiveBuffer;
  pace: Pace;
  maxPayloadBytes: () => number;
  fullReason: () => string | undefined;
  /** The broker accepted the connection; called before any message of it is looked at. */
  onAccepted: (connack: IConnackPacket) => void;
  /** Subscriptions can be made now; `closed` aborts when the connection is over. */
  onReady: (session: Session, closed: AbortSignal) => void;
  onBatch: (messages: number) => void;
}

/** DISCONNECT (3.14) with reason 0: in both versions the session stays. */
const normalDisconnect = new Uint8Array([0xe0, 0]);
/** DISCONNECT of MQTT 5 with reason 0x81, Malformed Packet, and no properties. */
const malformedDisconnect = new Uint8Array([0xe0, 2, 0x81, 0]);

export class Connection {
  readonly #closed = new AbortController();
  readonly #gate: Gate;
  readonly #loop: ReceiveLoop;
  #failure: Pick<ConnectionEnd, "kind" | "reason"> | undefined;
  #spoken: { code: number; text: string } | undefined;
  #connackAtMs: number | undefined;
  #readBytesSeen = 0;

  constructor(private readonly parts: ConnectionParts) {
    const { transport, buffer, version, intake } = parts;
    this.#gate = new Gate(transport);
    const walk = new PacketWalk(buffer, version, {
      message: (reading) => intake.message(reading),
      release: (packetId) => intake.release(packetId),
      control: (bytes) => this.#gate.pass(bytes),
      disconnect: (packet) => this.#hear(packet),
    }, parts.maxPayloadBytes);
    const onConnack = (packet: IConnackPacket) => this.#accept(packet);
    this.#loop = new ReceiveLoop({ ...parts, gate: this.#gate, walk, onConnack });
  }

  /** Runs until the connection is over; `stop` ends it in order. Rejects with LostSyncError only. */
  async run(stop: AbortSignal): Promise<ConnectionEnd> {
    const { clock, transport, buffer, intake } = this.parts;
    buffer.clear();
    intake.reset();
    const patience = clock.sleep(connackMs, this.#closed.signal).then(() => {
      if (this.#connackAtMs === undefined) this.#fail("silent", `no CONNACK within ${connackMs / 1_000} s`);
    });
    let session: Session | undefined;
    try {
      session = this.#begin();
      const end = session === undefined ? undefined : await this.#loop.run(stop);
      if (end !== undefined) await this.#finish(end);
      return this.#verdict(end);
    } finally {
      this.#closed.abort();
      session?.end();
      transport.close();
      await patience;
    }
  }

  /** Sends CONNECT. */
  #begin(): Session | undefined {
    const { settings, version, onReady } = this.parts;
    try {
      const session: Session = new Session({
        gate: this.#gate,
        settings,
        version,
        alive: () => this.#alive(),
        onFailure: (reason) => this.#fail("failed", reason),
        onConnect: () => onReady(session, this.#closed.signal),
      });
      return session;
    } catch (error) { // a password file that can't be read
      this.#fail("failed", error instanceof Error ? error.message : reasonOf(error));
      return undefined;
    }
  }

  /** Says goodbye where there is somebody to say it to. */
  async #finish(end: ReceiveEnd): Promise<void> {
    if (this.#connackAtMs === undefined || this.#failure !== undefined) return;
    if (["stopped", "full", "disk"].includes(end.kind)) await this.#loop.sayGoodbye(normalDisconnect);
    if (end.kind === "malformed" && this.parts.version === 5) {
      await this.#loop.sayGoodbye(malformedDisconnect);
    }
  }

  #verdict(end: ReceiveEnd | undefined): ConnectionEnd {
    const connectedMs = this.#connackAtMs === undefined
      ? undefined
      : this.parts.clock.bootMs() - this.#connackAtMs;
    const rest = { code: this.#spoken?.code, connectedMs };
    if (this.#failure !== undefined) return { ...this.#failure, ...rest };
    switch (end?.kind) {
      case "full":
      case "disk":
        return { kind: end.kind, reason: end.reason, ...rest };
      case "malformed":
        return { kind: "failed", reason: `malformed: ${end.reason}`, ...rest };
      case "lost":
      case "end of stream": {
        const how = end.kind === "lost"
          ? `the connection broke (${end.reason})`
          : "the broker closed the connection";
        if (connectedMs === undefined) return { kind: "silent", reason: this.#beforeConnack(how), ...rest };
        return {
          kind: "closed",
          reason: this.#spoken === undefined ? how : `the broker says ${this.#spoken.text}`,
          ...rest,
        };
      }
      default:
        return { kind: "stopped", reason: "stopped", ...rest };
    }
  }

  /** What may be meant by a connection that ends without an answer. */
  #beforeConnack(how: string): string {
    const plain = this.parts.settings.url?.startsWith("mqtt:") === true;
    const hint = /CertificateRequired|HandshakeFailure/.test(how)
      ? "; the broker asks for a client certificate: mqtt.cert_file and mqtt.key_file"
      : plain
      ? "; does this port expect TLS (mqtts:)"
      : "";
    return `${how} before CONNACK${hint}`;
  }

  /** CONNACK. Returns whether the connection goes on. */
  #accept(packet: IConnackPacket): boolean {
    const { code, text } = spokenReason(packet);
    if (code !== 0) {
      this.#spoken = { code, text };
      this.#failure ??= { kind: "refused", reason: `the broker refuses the connection: ${text}` };
      return false;
    }
    this.#connackAtMs = this.parts.clock.bootMs();
    this.parts.onAccepted(packet);
    return true;
  }

  /** DISCONNECT of the broker; it closes after it. */
  #hear(packet: IDisconnectPacket): void {
    this.#spoken = spokenReason(packet);
  }

  #fail(kind: ConnectionEnd["kind"], reason: string): void {
    if (this.#closed.signal.aborted) return;
    this.#failure ??= { kind, reason };
    this.parts.transport.close();
  }

  #alive(): boolean {
    const { readBytes, committing } = this.#loop;
    const alive = committing || readBytes !== this.#readBytesSeen;
    this.#readBytesSeen = readBytes;
    return alive;
  }
}
