/** Topic names (4.7), and what the stages have in common of filters. */
import { utf8Fault } from "./utf8.ts";

export { sameBytes, TopicFilter, topicFilterFault } from "../base/topic_filter.ts";

const plus = 0x2b;
const hash = 0x23;

/** Why the bytes can't be a topic name (4.7.3: not empty, no wildcards, a UTF-8 Encoded String), or undefined. */
export function topicNameFault(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (start === end) return "is empty";
  let ascii = true;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === plus || byte === hash) return "contains a wildcard";
    if (byte === 0 || byte > 0x7f) ascii = false;
  }
  return ascii ? undefined : utf8Fault(bytes, start, end);
}
