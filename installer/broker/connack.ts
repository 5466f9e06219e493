/** One connection to a broker over TLS, to see whether it lets somebody in (MQTT 3.1.1, 3.1 and 3.2). */
import { connect as connectTls } from "node:tls";
import type { Buffer } from "node:buffer";

export interface Account {
  name: string;
  password: string;
}

/** By what the broker is known: its CA and one of the names of its certificate, or the certificate itself. */
export type Trust = { caPem: string; name: string } | { sha256: string };

const answerMs = 10_000;
const connectPacket = 1;
const connackPacket = 2;

/**
 * Connects to 127.0.0.1 and returns the return code of CONNACK: 0 let in, 4 and 5 refused. Throws when the broker is
 * another than is trusted, or does not answer.
 */
export async function connackCode(port: number, trust: Trust, account: Account | undefined): Promise<number> {
  const answer = "sha256" in trust
    ? askPinned(port, trust.sha256, account)
    : askVerified(port, trust, account);
  const bytes = await answer;
  if (bytes.length < 4 || bytes[0]! >> 4 !== connackPacket || bytes[1] !== 2) {
    throw new Error("it did not answer as an MQTT broker does");
  }
  return bytes[3]!;
}

async function askVerified(
  port: number,
  trust: { caPem: string; name: string },
  account: Account | undefined,
): Promise<Uint8Array> {
  let timer = 0;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it did not answer in time")), answerMs);
  });
  try {
    return await Promise.race([ask(port, trust, account), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function ask(
  port: number,
  { caPem, name }: { caPem: string; name: string },
  account: Account | undefined,
): Promise<Uint8Array> {
  const plain = await Deno.connect({ hostname: "127.0.0.1", port });
  using connection = await Deno.startTls(plain, { hostname: name, caCerts: [caPem] });
  await writeAll(connection, connectBytes(account));
  return await readFour(connection);
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

async function readFour(connection: Deno.Conn): Promise<Uint8Array> {
  const bytes = new Uint8Array(4);
  for (let at = 0; at < bytes.length;) {
    const count = await connection.read(bytes.subarray(at));
    if (count === null) return bytes.subarray(0, at);
    at += count;
  }
  return bytes;
}

/** Verification is off and the certificate itself compared, before anything is written. */
async function askPinned(port: number, sha256: string, account: Account | undefined): Promise<Uint8Array> {
  const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false });
  let timer = 0;
  try {
    return await new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error("it did not answer in time")), answerMs);
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("it closed the connection")));
      socket.on("secureConnect", () => {
        const found: string | undefined = socket.getPeerCertificate()?.fingerprint256;
        if (found !== undefined && plainHex(found) === plainHex(sha256)) socket.write(connectBytes(account));
        else reject(new Error("it shows another certificate"));
      });
      socket.on("data", (bytes: Buffer) => resolve(bytes));
    });
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

const plainHex = (text: string) => text.replaceAll(":", "").toLowerCase();

/** CONNECT with a clean session and an identifier that the broker chooses. */
function connectBytes(account: Account | undefined): Uint8Array {
  const cleanSession = 0x02;
  const flags = cleanSession | (account === undefined ? 0 : 0xc0);
  const keepAlive = [0, 30];
  const fields = account === undefined ? [] : [...field(account.name), ...field(account.password)];
  const body = [...field("MQTT"), 4, flags, ...keepAlive, ...field(""), ...fields];
  return new Uint8Array([connectPacket << 4, ...lengthBytes(body.length), ...body]);
}

function field(text: string): number[] {
  const bytes = new TextEncoder().encode(text);
  return [bytes.length >> 8, bytes.length & 0xff, ...bytes];
}

function lengthBytes(length: number): number[] {
  const bytes: number[] = [];
  for (let rest = length;;) {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 0x80 : low);
    if (rest === 0) return bytes;
  }
}
