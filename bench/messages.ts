/**
 * The readings that every row sends. Half of the payloads are a plain JSON number, as simple sensors send them, half a
 * small JSON object; all are valid JSON, because `mosquitto_sub -F %J` prints nothing else.
 */
import type { Message } from "./packets.ts";

const quantities = ["temperature", "humidity", "pressure", "vibration"];

const topicOf = (n: number) => `plant/area-${n % 7}/machine-${n % 41}/${quantities[n % 4]}`;
const valueOf = (n: number) => (15 + (n * 7919) % 1000 / 100).toFixed(2);

/** The n-th reading as a JSON object of about 75 bytes, which every peer understands; its number stands in it as `seq`. */
export function numbered(n: number): Message {
  const battery = (3 + (n * 31) % 100 / 100).toFixed(2);
  const payload = `{"value":${valueOf(n)},"unit":"C","battery":${battery},"ok":true,"seq":${n}}`;
  return { topic: topicOf(n), payload };
}

/** The n-th reading: topic of about 40 bytes, payload of 5 or about 75 bytes. The same n always gives the same one. */
export function message(n: number): Message {
  return n % 2 === 0 ? { topic: topicOf(n), payload: valueOf(n) } : numbered(n);
}

/** The first `count` readings. */
export function messages(count: number): Message[] {
  return Array.from({ length: count }, (_, n) => message(n));
}

/** Comes behind the last reading, at QoS 1: when it is acknowledged or stored, all before it are. */
export const endTopic = "bench/end";
export const endMessage: Message = { topic: endTopic, payload: "1" };
