/**
 * A process of its own that sends documents into a bulk sink and says how much CPU each of them cost it:
 * `bulk_process.ts ours|peer URL COUNT DOCUMENTS`. COUNT documents, after ten passes over the prepared ones to warm up
 * (with COUNT 0 one pass and nothing else); DOCUMENTS is the file of the prepared ones, which the peer reads.
 */
import process from "node:process";
import { Client } from "@elastic/elasticsearch";
import { bulkDocumentsMax } from "../agent/limits.ts";
import type { ElasticsearchSettings, Settings } from "../agent/settings.ts";
import { ElasticsearchOutput } from "../agent/shipper/elasticsearch.ts";
import type { Outgoing } from "../agent/shipper/output.ts";
import { message } from "./messages.ts";

/** Documents that are prepared; sent again and again with new ids. */
export const preparedDocuments = 20_000;
/** Sent before anything is measured: V8 goes on compiling for as long, and an agent runs for months. */
export const warmUpDocuments = 10 * preparedDocuments;
const index = "mqtt-%Y.%m.%d";

const encoder = new TextEncoder();
const emptyBytes = new Uint8Array(0);
/** 1 January 2025, 00:00, so that the documents are the same in every run. */
const arrivalMs = Date.UTC(2025, 0, 1);

function outgoing(n: number): Outgoing {
  const { topic, payload } = message(n);
  return {
    reading: {
      ...{ segmentId: "0123456789abcdef", sequence: n + 1, packetId: 1 },
      ...{ qos: 1, retain: false, duplicate: false, truncated: false, queued: false },
      ...{ bootId: "0".repeat(32), bootMs: n, wallMs: arrivalMs + n, synchronised: "yes" },
      topic: encoder.encode(topic),
      properties: emptyBytes,
      payload: encoder.encode(payload as string),
    },
    arrivalMs: arrivalMs + n,
    mark: "synced",
    startMs: undefined,
    target: index,
  };
}

const silent = () => {};
const log = { error: silent, warning: silent, notice: silent, info: silent, debug: silent };

/** Sends `count` documents whose number begins at `from`: what is before it in time is preparation, not measured. */
type Prepare = (from: number, count: number) => () => Promise<void>;

/** The agent's output: from readings with raw payloads to confirmed verdicts. */
function ours(url: string): Prepare {
  const settings: ElasticsearchSettings = {
    ...{ type: "elasticsearch", name: "bench", urls: [url], index, manageTemplate: false },
    ...{ caPem: undefined, apiKey: undefined, username: undefined, password: undefined, proxy: undefined },
    dataStream: undefined,
  };
  const common = { plant: "bench", hostIp: "192.0.2.1", labels: {}, labelsFromTopic: undefined } as Settings;
  const output = new ElasticsearchOutput(settings, common, log);
  const signal = new AbortController().signal;
  const readings = Array.from({ length: preparedDocuments }, (_, n) => outgoing(n));
  // the same objects again and again, with new sequences: a heap full of prepared ones would be measured otherwise
  return (from, count) => async () => {
    for (let at = from; at < from + count;) {
      const first = at % preparedDocuments;
      const batch = readings.slice(first, first + Math.min(bulkDocumentsMax, from + count - at));
      for (const { reading } of batch) reading.sequence = ++at;
      const verdicts = await output.send(batch, signal);
      const bad = verdicts.find(({ kind }) => kind !== "confirmed");
      if (bad !== undefined) throw new Error(`not confirmed: ${JSON.stringify(bad)}`);
    }
  };
}

/** `helpers.bulk` of the official client, as it comes, with finished objects, ids and index; zipped as ours. */
function peer(url: string, file: string): Prepare {
  const client = new Client({ node: url, compression: true });
  const lines = Deno.readTextFileSync(file).trimEnd().split("\n");
  const documents = lines.filter((_, i) => i % 2 === 1).map((line) =>
    JSON.parse(line) as Record<string, unknown>
  );
  const { _index } = (JSON.parse(lines[0]!) as { create: { _index: string } }).create;
  return (from, count) => {
    const ids = Array.from({ length: count }, (_, i) => `0123456789abcdef-${from + i + 1}`);
    const datasource = Array.from({ length: count }, (_, i) => documents[(from + i) % documents.length]!);
    let next = 0;
    return async () => {
      const result = await client.helpers.bulk({
        datasource,
        onDocument: () => ({ create: { _index, _id: ids[next++]! } }),
      });
      if (result.successful !== count) throw new Error(`${result.successful} of ${count} confirmed`);
    };
  };
}

async function main([side, url, count, file]: string[]): Promise<void> {
  const prepare = side === "ours" ? ours(url!) : peer(url!, file!);
  await prepare(0, preparedDocuments)(); // the sink keeps these
  if (count === "0") return;
  await prepare(preparedDocuments, warmUpDocuments - preparedDocuments)();
  const send = prepare(warmUpDocuments, Number(count));
  const before = process.cpuUsage();
  const startMs = performance.now();
  await send();
  const elapsedMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(before);
  console.log(
    JSON.stringify({ cpu: (user + system) / Number(count), rate: Number(count) / elapsedMs * 1000 }),
  );
}

if (import.meta.main) {
  await main(Deno.args);
  Deno.exit(0); // connections that are kept alive would hold it
}
