/** Which certificate the broker shows to its clients, which is not always the one that stands in its file. */
import { connect } from "node:tls";
import { OperationError } from "../../agent/base/errors.ts";
import type { Listener } from "./in_force.ts";
import { brokerUnit } from "./places.ts";

export { confFiles, type Listener, tlsListener } from "./in_force.ts";

const shownMs = 20_000;
const answerMs = 5_000;
const pollMs = 200;

/** Waits until the broker shows the certificate with this SHA-256. Throws OperationError when it does not. */
export async function untilShown(listener: Listener, sha256: string, signal: AbortSignal): Promise<void> {
  const endMs = performance.now() + shownMs;
  let shown = await shownSha256(listener);
  while (shown !== sha256 && performance.now() < endMs && !signal.aborted) {
    await new Promise((done) => setTimeout(done, pollMs));
    shown = await shownSha256(listener);
  }
  if (shown === sha256) return;
  throw new OperationError({
    ...{
      operation: "make the broker show its new certificate",
      place: `${listener.hostname}:${listener.port}`,
    },
    cause: shown === undefined ? "it shows none" : `it shows another one, with SHA-256 ${shown}`,
    remedy:
      `the new one is in its file; journalctl -u ${brokerUnit} says why the broker did not take it, and ` +
      `sudo systemctl restart ${brokerUnit} starts it with it`,
  });
}

/** SHA-256 of the certificate that a server shows, upper-case pairs with colons; undefined when there is none to be seen. */
export function shownSha256({ hostname, port }: Listener): Promise<string | undefined> {
  return new Promise((done) => {
    const socket = connect({ host: hostname, port, rejectUnauthorized: false });
    const end = (shown: string | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      done(shown);
    };
    const timer = setTimeout(() => end(undefined), answerMs);
    socket.on("error", () => end(undefined));
    socket.once("close", () => end(undefined));
    socket.once("secureConnect", () => end(socket.getPeerCertificate()?.fingerprint256));
  });
}
