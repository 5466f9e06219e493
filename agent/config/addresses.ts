/** URLs of brokers, outputs and proxies, and the address to listen at. A URL that may hold a password is never shown. */
import { isIP } from "node:net";
import type { ListenAddress } from "../settings.ts";

/** A URL that was accepted, taken apart. */
interface Address {
  url: URL;
  host: string;
}

interface Rules {
  /** Scheme, without the colon, → undefined when it is allowed, else why it is not. */
  schemes: Record<string, string | undefined>;
  example: string;
  /** Whether there may be something behind the host and port. */
  path: boolean;
}

const broker: Rules = {
  schemes: {
    mqtts: undefined,
    mqtt: undefined,
    ws: "MQTT over WebSocket comes with a later version; use mqtt or mqtts",
    wss: "MQTT over WebSocket comes with a later version; use mqtts",
    ssl: "the name for MQTT over TLS is mqtts here",
    tls: "the name for MQTT over TLS is mqtts here",
    tcp: "the name for MQTT without TLS is mqtt here",
    http: "this is no address of a broker; use mqtts or mqtt",
    https: "this is no address of a broker; use mqtts or mqtt",
  },
  example: "mqtts://192.168.1.46:8883",
  path: false,
};

const elasticsearch: Rules = {
  schemes: { https: undefined, http: undefined },
  example: "https://10.8.0.1:9200",
  path: true,
};

const proxy: Rules = { schemes: { http: undefined }, example: "http://10.8.0.1:3128", path: false };

/** What is wrong with the broker's URL, as a sentence, or undefined. */
export const brokerUrlFault = (text: string) => urlFault(text, broker);
/** What is wrong with a URL of Elasticsearch, as a sentence, or undefined. */
export const elasticsearchUrlFault = (text: string) => urlFault(text, elasticsearch);
/** What is wrong with a proxy's URL, as a sentence, or undefined. */
export const proxyUrlFault = (text: string) => urlFault(text, proxy);

/** Scheme and host of a URL that passed, or undefined. IPv6 addresses are without brackets. */
export function hostOf(text: string): { scheme: string; host: string } | undefined {
  const address = parse(text);
  return address === undefined
    ? undefined
    : { scheme: address.url.protocol.slice(0, -1), host: address.host.replace(/^\[(.*)\]$/, "$1") };
}

/** Whether nothing that is sent there leaves this machine. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The parts of `127.0.0.1:1883` or `[::1]:1883`, or undefined when it is nothing of the kind. */
export function listenAddress(text: string): ListenAddress | undefined {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  if (parts === null) return undefined;
  const host = parts[1] ?? parts[2]!;
  const port = Number(parts[3]);
  return isIP(host) === (parts[1] === undefined ? 4 : 6) && port <= 65_535 ? { host, port } : undefined;
}

/** Why a text is no address to listen at, as the rest of a sentence; or undefined. */
export function listenFault(text: string): string | undefined {
  return listenAddress(text) === undefined ? "is no address and port" : undefined;
}

function parse(text: string): Address | undefined {
  if (!/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return { url, host: url.hostname };
}

function urlFault(text: string, rules: Rules): string | undefined {
  const names = Object.keys(rules.schemes).filter((name) => rules.schemes[name] === undefined);
  const allowed = `allowed: ${names.join(" or ")}, such as ${rules.example}`;
  if (/[\p{C}\p{Z}]/u.test(text)) return `found a space or control character in the URL; ${allowed}`;
  const address = parse(text);
  if (address === undefined) {
    const scheme = /^([a-z]{2,5}):\/\//.exec(text)?.[1];
    const what = scheme === undefined
      ? "found no scheme, such as https://"
      : `found ${scheme}:// without a host`;
    return `${text.includes("@") ? "found no URL" : what}; ${allowed}`;
  }
  const { url, host } = address;
  const scheme = url.protocol.slice(0, -1);
  if (!Object.hasOwn(rules.schemes, scheme)) return `found the scheme ${scheme.slice(0, 12)}; ${allowed}`;
  const reason = rules.schemes[scheme];
  if (reason !== undefined) return `found the scheme ${scheme}; ${reason}`;
  if (text.includes("@")) {
    return "found a user name or password in the URL, where logs and process lists would show it; " +
      "take it out and use username and password_file (or api_key_file)";
  }
  if (!/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)$/.test(host)) {
    return `found no host name or address; ${allowed}`;
  }
  if (url.port === "0") return `found the port 0; ${allowed}`;
  if (url.search !== "" || url.hash !== "" || /[?#]/.test(text)) return `found ? or # in the URL; ${allowed}`;
  if (!rules.path && url.pathname !== "" && url.pathname !== "/") {
    return `found a path behind the host; ${allowed}`;
  }
  return undefined;
}
