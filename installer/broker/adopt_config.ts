/** agent.yaml with another broker in it. Pure: text in, text out. */
import { withMqtt } from "../agent_yaml.ts";
import { Look } from "../../agent/config/look.ts";
import { parseYaml } from "../../agent/config/yaml.ts";

/** Keys under `mqtt:` that say which broker it is and how to come in; undefined: not there. */
export interface BrokerKeys {
  url: string;
  ca_file: string | undefined;
  fingerprint_sha256: string | undefined;
  username: string | undefined;
  password_file: string | undefined;
  status_topic: string | undefined;
}

/** Of the same kind, and none that goes with the new broker. */
const others = ["cert_file", "key_file", "listen"];
const names = [
  "url",
  "ca_file",
  "fingerprint_sha256",
  "username",
  "password_file",
  "status_topic",
  ...others,
];

/** The text with these keys; everything else stays. Throws OperationError when it can't be read as YAML. */
export function withBrokerKeys(text: string, keys: BrokerKeys): string {
  return withMqtt(text, { ...Object.fromEntries(others.map((name) => [name, undefined])), ...keys });
}

/** `text` with the broker that `earlier` names, or with none when it names none. */
export function withBrokerOf(text: string, earlier: string): string {
  return withMqtt(text, Object.fromEntries(names.map((name) => [name, brokerKey(earlier, name)])));
}

/** The value of a key under `mqtt:`. */
export function brokerKey(text: string, name: string): string | undefined {
  return new Look(parseYaml(new TextEncoder().encode(text)).value).text(["mqtt", name]);
}
