/** Who may connect to the agent's own broker: everybody, or who knows the account of the configuration. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { MqttSettings } from "../settings.ts";

const digestOf = (text: string | Uint8Array) => createHash("sha256").update(text).digest();

export class EmbeddedAccount {
  readonly #name: Uint8Array | undefined;
  readonly #password: Uint8Array | undefined;

  /** Reads the password's file; throws ConfigError. */
  constructor({ username, password }: Pick<MqttSettings, "username" | "password">) {
    if (username === undefined || password === undefined) return;
    this.#name = digestOf(username);
    this.#password = digestOf(password.read());
  }

  /** Takes the same time whatever is wrong with them. */
  admits(username: string | undefined, password: Uint8Array | undefined): boolean {
    if (this.#name === undefined || this.#password === undefined) return true;
    const name = timingSafeEqual(digestOf(username ?? ""), this.#name);
    const secret = timingSafeEqual(digestOf(password ?? ""), this.#password);
    return name && secret;
  }
}
