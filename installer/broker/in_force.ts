/** Where the files stand that the broker works with: ours, or those of an installation that was adopted as it was. */
import type { Machine } from "../machine.ts";
import { type ConfFiles, settingsOf } from "./conf.ts";
import { brokerPlaces } from "./places.ts";

export interface Listener {
  /** To reach it from this machine. */
  hostname: string;
  port: number;
}

export interface FilesInForce {
  listener: Listener;
  certificate: string;
  key: string;
  /** The CA's certificate; during a change of the CA two. */
  trusted: string;
  /** Where the one of an adopted installation stands, also when another place is in force by now. */
  cafile: string | undefined;
  passwords: string;
  /** Undefined: whoever has an account may do everything. */
  acl: string | undefined;
  /** Mosquitto's settings stand in our own drop-in. */
  isOurs: boolean;
}

const defaultPort = 8883;
const loopback = "127.0.0.1";

/** The machine's files as the reader of Mosquitto's configuration wants them. */
export function confFiles(machine: Machine): ConfFiles {
  return {
    text: (path) => {
      const bytes = machine.read(path);
      return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
    },
    names: (dir) => machine.list(dir),
  };
}

interface TlsSection extends Listener {
  certfile?: string;
  keyfile?: string;
  cafile?: string;
}

/**
 * What Mosquitto's configuration says (mosquitto.conf(5)): of its listeners the one with our certificate, else the first
 * with any. Where it says nothing of TLS, our own places.
 */
export function filesInForce(machine: Machine): FilesInForce {
  const settings = settingsOf(confFiles(machine));
  const section = tlsSection(settings);
  const value = (wanted: string) => settings.find(({ name }) => name === wanted)?.value;
  const isOurs = section?.certfile === undefined || section.certfile === brokerPlaces.certificate;
  const listener = { hostname: section?.hostname ?? loopback, port: section?.port ?? defaultPort };
  if (isOurs) {
    const { certificate, key, caCertificate: trusted, passwords, acl } = brokerPlaces;
    return { listener, certificate, key, trusted, cafile: undefined, passwords, acl, isOurs };
  }
  // what clients trust stands in our place as soon as a change of the CA has begun
  const hasOwn = machine.look(brokerPlaces.caCertificate) !== undefined;
  return {
    ...{ listener, certificate: section.certfile!, key: section.keyfile ?? brokerPlaces.key },
    trusted: hasOwn ? brokerPlaces.caCertificate : section.cafile ?? brokerPlaces.caCertificate,
    cafile: section.cafile,
    ...{ passwords: value("password_file") ?? brokerPlaces.passwords, acl: value("acl_file"), isOurs },
  };
}

/** Where the broker shows its certificate, as seen from this machine. */
export function tlsListener(files: ConfFiles): Listener {
  const section = tlsSection(settingsOf(files));
  return { hostname: section?.hostname ?? loopback, port: section?.port ?? defaultPort };
}

function tlsSection(settings: { name: string; value: string }[]): TlsSection | undefined {
  const sections: TlsSection[] = [{ hostname: loopback, port: 1883 }];
  for (const { name, value } of settings) {
    const [port, address] = value.split(/\s+/);
    if (name === "listener") sections.push({ hostname: reachable(address), port: Number(port) });
    else if (name === "port") sections[0]!.port = Number(port);
    else if (name === "bind_address") sections[0]!.hostname = reachable(value);
    else if (name === "certfile" || name === "keyfile" || name === "cafile") sections.at(-1)![name] = value;
  }
  const withTls = sections.filter(({ certfile }) => certfile !== undefined);
  return withTls.find(({ certfile }) => certfile === brokerPlaces.certificate) ?? withTls[0];
}

function reachable(address: string | undefined): string {
  return address === undefined || /^(0\.0\.0\.0|::|\*|localhost)$/.test(address) ? loopback : address;
}
