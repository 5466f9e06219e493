/**
 * The readings that every row sends. Half of the payloads are a plain JSON number, as simple sensors send them, half a
 * small JSON object; all are valid JSON, because `mosquitto_sub -F %J` prints nothing else.
 */
import type { Message } from "./packets.ts";

const quantities = ["temperature", "humidity", "pressure", "vibration"];

/** The n-th reading: topic of about 40 bytes, payload of 5 or about 75 bytes. The same n always gives the same one. */
export function message(n: number): Message {
  const topic = `plant/area-${n % 7}/machine-${n % 41}/${quantities[n % 4]}`;
  const value = (15 + (n * 7919) % 1000 / 100).toFixed(2);
  if (n % 2 === 0) return { topic, payload: value };
  const battery = (3 + (n * 31) % 100 / 100).toFixed(2);
  return { topic, payload: `{"value":${value},"unit":"C","battery":${battery},"ok":true,"seq":${n}}` };
}

/** The first `count` readings. */
export function messages(count: number): Message[] {
  return Array.from({ length: count }, (_, n) => message(n));
}

/** Comes behind the last reading, at QoS 1: when it is acknowledged or stored, all before it are. */
export const endTopic = "bench/end";
export const endMessage: Message = { topic: endTopic, payload: "1" };
