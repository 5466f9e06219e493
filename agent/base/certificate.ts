/** How long certificates last: read from PEM text, and said in words. */
import { X509Certificate } from "node:crypto";
import { certificateSoonMs } from "../limits.ts";

const dayMs = 86_400_000;

/** The certificates in a PEM text, each with its own begin and end line; whatever stands between them is left out. */
export function certificateBlocks(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
}

/** When each certificate in a PEM text ends, ms since 1970. One that is damaged has no end: who uses it says so. */
export function certificateEnds(pem: string): number[] {
  return certificateBlocks(pem).flatMap((block) => {
    try {
      const endMs = Date.parse(new X509Certificate(block).validTo);
      return Number.isNaN(endMs) ? [] : [endMs];
    } catch {
      return [];
    }
  });
}

/** Where in its life a certificate is that ends at `endMs`. */
export interface Lifetime {
  state: "lasts" | "ends soon" | "has ended";
  /** `lasts 89 days, until 2026-02-01`, or `ended on 2026-02-01`; the day is that in UTC. */
  text: string;
}

/** Judged by the wall clock `nowMs`; "ends soon" when less than certificateSoonMs is left. */
export function lifetime(endMs: number, nowMs: number): Lifetime {
  const day = new Date(endMs).toISOString().slice(0, 10);
  const leftMs = endMs - nowMs;
  if (leftMs < 0) return { state: "has ended", text: `ended on ${day}` };
  const days = Math.floor(leftMs / dayMs);
  const state = leftMs < certificateSoonMs ? "ends soon" : "lasts";
  return { state, text: `lasts ${days} ${days === 1 ? "day" : "days"}, until ${day}` };
}
