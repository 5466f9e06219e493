/** Under which names and addresses clients reach this machine: what its broker's certificate is for. */
import { hostname, networkInterfaces } from "node:os";

/** Addresses that change by themselves, or hold on one cable only, name nobody (RFC 4291, 2.5.6; RFC 3927). */
const linkLocal = /^(fe[89ab][0-9a-f]:|169\.254\.)/i;

/** Names of this host, as it calls itself and as mDNS does, those of the machine within itself, and its addresses. */
export function machineNames(
  host: string = hostname(),
  addresses: string[] = Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).map((one) => one.address)
  ),
): string[] {
  const short = host.split(".")[0]!;
  const names = [host, short, `${short}.local`, "localhost", "127.0.0.1", "::1"];
  return [...new Set([...names, ...addresses.filter((address) => !linkLocal.test(address)).sort()])];
}
