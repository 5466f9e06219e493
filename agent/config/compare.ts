/** Which changes of a configuration hold at once, and which need a restart. */
import type { OutputSettings, Settings } from "../settings.ts";

/** Keys whose change a running agent takes over at once. */
export const reloadable = new Set([
  "mqtt.topics",
  "mqtt.exclude",
  "mqtt.qos",
  "mqtt.username",
  "mqtt.password_file",
  "spool.max_size",
  "spool.min_free",
  "log.level",
]);

/** Names of the keys that differ, sorted. Secrets are compared by the file's name only. */
export function compareSettings(
  old: Settings,
  next: Settings,
): { reloadable: string[]; needsRestart: string[] } {
  const [before, after] = [keyed(old), keyed(next)];
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  const changed = names.filter((name) => (before.get(name) ?? "") !== (after.get(name) ?? ""));
  return {
    reloadable: changed.filter((name) => reloadable.has(name)),
    needsRestart: changed.filter((name) => !reloadable.has(name)),
  };
}

/** Each key's value as text, by the name that it has in the file. */
function keyed(settings: Settings): Map<string, string> {
  const { mqtt, spool, log } = settings;
  const values: Record<string, unknown> = {
    plant: settings.plant,
    host_ip: settings.hostIp,
    labels: Object.entries(settings.labels).sort(),
    labels_from_topic: settings.labelsFromTopic,
    "mqtt.url": mqtt.url,
    "mqtt.listen": mqtt.listen,
    "mqtt.ca_file": mqtt.caPem,
    "mqtt.fingerprint_sha256": mqtt.fingerprintSha256,
    "mqtt.username": mqtt.username,
    "mqtt.password_file": mqtt.password?.path,
    "mqtt.cert_file": mqtt.certificatePem,
    "mqtt.key_file": mqtt.key?.path,
    "mqtt.client_id": mqtt.clientId,
    "mqtt.topics": mqtt.topics,
    "mqtt.exclude": mqtt.exclude,
    "mqtt.qos": mqtt.qos,
    "mqtt.max_payload": mqtt.maxPayloadBytes,
    "mqtt.status_topic": mqtt.statusTopic,
    "mqtt.keep_alive": mqtt.keepAliveS,
    "spool.dir": spool.dir,
    "spool.max_size": spool.maxSizeBytes,
    "spool.min_free": spool.minFreeBytes,
    "spool.sync_window": spool.syncWindowMs,
    "spool.when_full": spool.whenFull,
    "log.format": log.format,
    "log.level": log.level,
  };
  for (const output of settings.outputs) {
    for (const [key, value] of Object.entries(outputKeys(output))) {
      values[`outputs.${output.name}.${key}`] = value;
    }
  }
  return new Map(Object.entries(values).map(([name, value]) => [name, JSON.stringify(value) ?? ""]));
}

function outputKeys(output: OutputSettings): Record<string, unknown> {
  if (output.type === "local") {
    const { type, dir, keepMs, maxSizeBytes } = output;
    return { type, dir, keep: keepMs, max_size: maxSizeBytes };
  }
  return {
    type: output.type,
    urls: output.urls,
    ca_file: output.caPem,
    api_key_file: output.apiKey?.path,
    username: output.username,
    password_file: output.password?.path,
    proxy: output.proxy,
    index: output.index,
    data_stream: output.dataStream,
    manage_template: output.manageTemplate,
  };
}
