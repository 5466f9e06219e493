/** What the `mqtt:` part of the configuration means to the subscriber. */
import type { MqttSettings } from "../settings.ts";
import type { IntakeRules } from "./intake.ts";
import { markerTopic } from "./marker.ts";
import { TopicFilter } from "./topic_filter.ts";

/** What is dropped on arrival. */
export function intakeRules({ exclude, statusTopic }: MqttSettings): IntakeRules {
  const marker = markerTopic(statusTopic);
  return {
    exclude: exclude.map((filter) => new TopicFilter(filter)),
    marker: marker === undefined ? undefined : new TextEncoder().encode(marker),
  };
}

/**
 * Whether a connection made with `one` serves `other` as well. A secret that was changed in its file is used by the next
 * connection; the one that stands needs it no more.
 */
export function sameConnection(one: MqttSettings, other: MqttSettings): boolean {
  return connectionKey(one) === connectionKey(other);
}

function connectionKey(settings: MqttSettings): string {
  const { url, caPem, fingerprintSha256, username, password, certificatePem, key, clientId, keepAliveS } =
    settings;
  const secrets = [password?.path, key?.path];
  return JSON.stringify([
    url,
    caPem,
    fingerprintSha256,
    username,
    certificatePem,
    clientId,
    keepAliveS,
    secrets,
  ]);
}
