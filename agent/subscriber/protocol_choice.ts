/** MQTT 5 first, MQTT 3.1.1 when the broker does not speak it; what worked is remembered for the URL. */
import type { ConnectionEnd } from "./connection.ts";
import type { ProtocolVersion } from "./framing.ts";

/** Unsupported protocol version: return code 1 of 3.1.1 (3.2.2.3), reason code 0x84 of MQTT 5 (3.2.2.2). */
const unsupportedCodes = [1, 132];

export class ProtocolChoice {
  #fallback = false;

  /** The protocol of the next attempt, when `remembered` worked last. */
  next(remembered: ProtocolVersion): ProtocolVersion {
    return this.#fallback ? 4 : remembered;
  }

  /**
   * An attempt is over. Returns whether to try again at once, with 3.1.1: MQTT 5 was refused, or nothing but silence came,
   * which is how some older brokers refuse it.
   */
  ended(version: ProtocolVersion, end: ConnectionEnd): boolean {
    const mayNotSpeakIt = version === 5 &&
      (end.kind === "silent" || (end.kind === "refused" && unsupportedCodes.includes(end.code ?? 0)));
    this.#fallback = mayNotSpeakIt;
    return mayNotSpeakIt;
  }
}
