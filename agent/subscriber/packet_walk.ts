/**
 * Goes through what has been read, packet by packet: messages and releases to the intake, everything else to npm:mqtt.
 * Nothing is copied; what is not whole yet stays in the buffer.
 */
import type { IConnackPacket, IDisconnectPacket, Packet } from "mqtt-packet";
import { part } from "../base/bytes.ts";
import { controlPacketBytesMax, controlPacketsMax } from "../limits.ts";
import type { IncomingReading } from "../spool/spool_types.ts";
import { headerFault, parseControlPacket } from "./control_packet.ts";
import { Drain } from "./drain.ts";
import { Frame, packetType, type ProtocolVersion } from "./framing.ts";
import { keptProperties } from "./message_properties.ts";
import {
  checkProperties,
  decodeHead,
  decodePubrel,
  type Malformed,
  propertiesFit,
  Publish,
  short,
} from "./publish_decoder.ts";
import type { ReceiveBuffer } from "./receive_buffer.ts";

/** What a walk came to: all whole packets taken, a message too large to be held, a CONNACK, or a malformed packet. */
export type Step =
  | { kind: "taken" }
  | { kind: "drain" }
  | { kind: "connack"; packet: IConnackPacket; bytes: Uint8Array }
  | { kind: "malformed"; reason: string };

/** Where the packets go. Byte arrays are valid during the call only. */
export interface PacketSink {
  message(reading: IncomingReading): void;
  release(packetId: number): void;
  /** A whole packet for npm:mqtt, parsed already. */
  control(bytes: Uint8Array, packet: Packet): void;
  disconnect(packet: IDisconnectPacket): void;
}

const taken: Step = { kind: "taken" };
const none = new Uint8Array(0);

export class PacketWalk {
  readonly #frame = new Frame();
  readonly #publish = new Publish();
  /** One object for all messages: the spool copies what it needs. */
  readonly #reading: IncomingReading = {
    qos: 0,
    retain: false,
    duplicate: false,
    packetId: 0,
    topic: none,
    payload: none,
    properties: none,
    truncated: false,
  };
  /** Bytes that the packet at the start of the buffer needs there, as far as that is known. */
  packetBytes = 0;
  #connected = false;
  /** Packets for npm:mqtt in this walk: it takes them only afterwards. */
  #controls = 0;

  constructor(
    private readonly buffer: ReceiveBuffer,
    private readonly version: ProtocolVersion,
    public sink: PacketSink,
    private readonly maxPayloadBytes: () => number,
  ) {}

  /** Takes whole packets from the buffer until something else than taking them is to be done. */
  walk(): Step {
    const frame = this.#frame;
    const { buffer } = this;
    this.#controls = 0;
    while (true) {
      this.packetBytes = 0;
      const header = frame.read(buffer.bytes, buffer.start, buffer.end);
      if (header === "short") return taken;
      if (header === "malformed") return malformed({ reason: "a remaining length of more than four bytes" });
      const type = frame.first >> 4;
      if (!this.#connected && type !== packetType.connack && type !== packetType.auth) {
        return malformed({ reason: `a packet of type ${type} before CONNACK` });
      }
      const step = type === packetType.publish
        ? this.#takePublish()
        : type === packetType.pubrel
        ? this.#takePubrel()
        : this.#takeControl(type);
      if (step !== undefined) return step;
      buffer.start = frame.bodyEnd;
    }
  }

  /** After the step "drain": the message whose bytes go from the buffer's start on into the returned drain. */
  beginDrain(): Drain {
    const { buffer } = this;
    const drain = new Drain(buffer.bytes, this.#publish, this.maxPayloadBytes());
    buffer.start = Drain.from(this.#publish);
    this.packetBytes = 0;
    return drain;
  }

  /** Hands a drained message on. */
  endDrain(drain: Drain): void {
    this.sink.message(drain.reading());
  }

  /** Undefined when it was taken. */
  #takePublish(): Step | undefined {
    const { buffer } = this;
    const { bytes } = buffer;
    const frame = this.#frame;
    const publish = this.#publish;
    const fault = decodeHead(bytes, frame, buffer.end, this.version, publish);
    if (fault === short) return taken;
    if (fault !== undefined) return malformed(fault);
    const fits = propertiesFit(publish);
    if (!fits || publish.payloadEnd - publish.payloadStart > this.maxPayloadBytes()) {
      if (fits && publish.propertiesEnd > buffer.end) return this.#await(publish.propertiesEnd);
      const unfit = fits ? checkProperties(bytes, publish) : undefined;
      return unfit === undefined ? { kind: "drain" } : malformed(unfit);
    }
    if (frame.bodyEnd > buffer.end) return this.#await(frame.bodyEnd);
    const unfit = checkProperties(bytes, publish);
    if (unfit !== undefined) return malformed(unfit);
    const reading = this.#reading;
    reading.qos = publish.qos;
    reading.retain = publish.retain;
    reading.duplicate = publish.duplicate;
    reading.packetId = publish.packetId;
    reading.topic = part(bytes, publish.topicStart, publish.topicEnd);
    reading.payload = part(bytes, publish.payloadStart, publish.payloadEnd);
    reading.properties = publish.propertiesStart === publish.propertiesEnd
      ? none
      : keptProperties(bytes, publish.propertiesStart, publish.propertiesEnd);
    this.sink.message(reading);
    return undefined;
  }

  #takePubrel(): Step | undefined {
    const { buffer } = this;
    const { bodyStart, bodyEnd } = this.#frame;
    if (bodyEnd - bodyStart > controlPacketBytesMax) return malformed({ reason: "PUBREL of a wrong length" });
    if (bodyEnd > buffer.end) return this.#await(bodyEnd);
    const packetId = decodePubrel(buffer.bytes, this.#frame, this.version);
    if (typeof packetId !== "number") return malformed(packetId);
    if (bodyEnd - bodyStart > 3) { // with properties, which nobody sends
      const packet = parseControlPacket(buffer.bytes.subarray(buffer.start, bodyEnd), this.version);
      if (!("cmd" in packet)) return malformed(packet);
    }
    this.sink.release(packetId);
    return undefined;
  }

  #takeControl(type: number): Step | undefined {
    const { buffer } = this;
    const fault = headerFault(this.#frame, this.version);
    if (fault !== undefined) return malformed(fault);
    if (++this.#controls > controlPacketsMax) {
      return malformed({ reason: "a flood of packets that are no messages" });
    }
    if (this.#frame.bodyEnd > buffer.end) return this.#await(this.#frame.bodyEnd);
    const bytes = buffer.bytes.subarray(buffer.start, this.#frame.bodyEnd);
    const packet = parseControlPacket(bytes, this.version);
    if (!("cmd" in packet)) return malformed(packet);
    if (packet.cmd === "connack") {
      if (this.#connected) return malformed({ reason: "a second CONNACK" });
      this.#connected = true;
      buffer.start = this.#frame.bodyEnd;
      return { kind: "connack", packet, bytes: bytes.slice() };
    }
    if (type === packetType.disconnect && packet.cmd === "disconnect") this.sink.disconnect(packet);
    else this.sink.control(bytes, packet);
    return undefined;
  }

  /** The packet at the start of the buffer is taken when the bytes before `offset` have arrived. */
  #await(offset: number): Step {
    this.packetBytes = offset - this.buffer.start;
    return taken;
  }
}

function malformed(fault: Malformed): Step {
  return { kind: "malformed", reason: fault.reason };
}
