/** How long a server's certificate lasts: for `check`. */
import { connect } from "node:tls";
import type { Finding } from "../shipper/output.ts";

const answerMs = 10_000;
const dayMs = 86_400_000;
/** Time to renew it without haste. */
const soonDays = 30;

/**
 * Looks at the certificate that the server at this address shows. Whether it can be trusted is found out elsewhere, by
 * the connection that the agent makes itself: here nothing is sent.
 */
export async function examineCertificate(hostname: string, port: number, nowMs: number): Promise<Finding[]> {
  const until = await validUntil(hostname, port);
  if (until === undefined) return [];
  const days = Math.floor((until - nowMs) / dayMs);
  const what = `its certificate lasts ${days} days, until ${new Date(until).toISOString().slice(0, 10)}`;
  if (days < 0) {
    return [{ level: "failure", what: what.replace(`lasts ${days} days, until`, "ended on"), remedy: renew }];
  }
  return [days < soonDays ? { level: "warning", what, remedy: renew } : { level: "ok", what }];
}

const renew = "renew it before it ends: nothing is delivered from then on";

function validUntil(hostname: string, port: number): Promise<number | undefined> {
  return new Promise((done) => {
    const socket = connect({
      ...{ host: hostname, port, rejectUnauthorized: false },
      ...(/^[\d.]+$|:/.test(hostname) ? {} : { servername: hostname }),
    });
    const end = (timeMs: number | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      done(timeMs);
    };
    const timer = setTimeout(() => end(undefined), answerMs);
    socket.on("error", () => end(undefined));
    socket.on("secureConnect", () => {
      const timeMs = Date.parse(socket.getPeerCertificate()?.valid_to ?? "");
      end(Number.isNaN(timeMs) ? undefined : timeMs);
    });
  });
}
