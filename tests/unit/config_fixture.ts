/** A folder with a configuration and the files it names. */
import { join } from "node:path";
import { type LoadedSettings, loadSettings } from "../../agent/config.ts";
import { ConfigError } from "../../agent/base/errors.ts";

/** Secrets that no message may show. */
export const planted = ["hunter2-in-a-file", "hunter3-in-a-url", "hunter4-inline", "aHVudGVyNTprZXk="];

/** Self-signed with P-256; valid until 2126. */
export const certificate = `-----BEGIN CERTIFICATE-----
MIIBezCCASGgAwIBAgIUNwYg+h9bVdCbbYuVIjvJ+RQ5090wCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHdGVzdCBjYTAgFw0yNjExMjQwNjM2MzJaGA8yMTI2MTAzMTA2
MzYzMlowEjEQMA4GA1UEAwwHdGVzdCBjYTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABPR+THV/eJBgzMNlJo43kFKcYCoVHriC4dAy2//ssg0Ws0jnI2pdauxUJ+uJ
tVl5fAqFW3cJXP8ffcPnkSxsZKujUzBRMB0GA1UdDgQWBBRO2u607gQ4qHSOVSeq
Tw0TDpAvpjAfBgNVHSMEGDAWgBRO2u607gQ4qHSOVSeqTw0TDpAvpjAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIDDrg5IpxU7bErMBbJTcLGJW3jvI
n8PKswLh2K0KZsyvAiEAg1PvBNfJgAtp48yj4g2El+gADJBJT6GV7xI1nvMP9C4=
-----END CERTIFICATE-----
`;
/** Ran out in 2021. */
export const expiredCertificate = `-----BEGIN CERTIFICATE-----
MIIBCTCBsAIBATAKBggqhkjOPQQDAjARMQ8wDQYDVQQDDAZvbGQgY2EwHhcNMjAw
MTAxMDAwMDAwWhcNMjEwMTAxMDAwMDAwWjARMQ8wDQYDVQQDDAZvbGQgY2EwWTAT
BgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ8BFDQQoa5hkOBeUIMidXuw8sAc/NL7PYZ
HvamPFJy41jAY+iHoxD1kFgQvDqZt2MoHAmJy/n4YtJ9jctlFR8NMAoGCCqGSM49
BAMCA0gAMEUCIDENy76pSXTll8dsrLaTSigiuNssI6yvu5aIx4JOnIb/AiEA+SuO
YwBsFw84FjsDpE0Uno07TOH9Hhf0rcf6UZy8V3k=
-----END CERTIFICATE-----
`;

export const privateKey = "-----BEGIN PRIVATE KEY-----\nbm8ga2V5\n-----END PRIVATE KEY-----\n";

export class Folder implements Disposable {
  readonly dir = Deno.makeTempDirSync({ prefix: "sensorlog-config-" });
  readonly file = join(this.dir, "agent.yaml");
  readonly credentials = join(this.dir, "credentials");

  constructor() {
    Deno.mkdirSync(this.credentials);
    this.put("ca.crt", certificate);
    this.put("expired.crt", expiredCertificate);
    this.put("client.key", privateKey);
    this.put("password", `${planted[0]}\n`);
    this.put("key", `${planted[3]}\n`);
  }

  put(name: string, content: string | Uint8Array, mode = 0o600): void {
    const path = join(this.dir, name);
    Deno.writeFileSync(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
    Deno.chmodSync(path, mode);
  }

  load(yaml: string | Uint8Array): LoadedSettings {
    this.put("agent.yaml", yaml);
    return loadSettings(this.file, {
      machine: { hostname: "pi.example", machineId: "0123456789abcdef0123456789abcdef" },
      credentialsDir: this.credentials,
    });
  }

  /** The problems, one per line, without the folder's name: `4:9: mqtt.qos: …`. Empty when there are none. */
  problems(yaml: string | Uint8Array): string[] {
    try {
      this.load(yaml);
      return [];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const lines = error.message.split("\n");
      const own = lines.length === 1 ? [lines[0]!.replace("check the configuration: ", "")] : lines.slice(1);
      return own.map((line) => line.replace(`${this.file}:`, "").replaceAll(this.dir, "DIR"));
    }
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.dir, { recursive: true });
  }
}
