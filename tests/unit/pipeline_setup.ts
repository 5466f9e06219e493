/** A whole pipeline in this process, on a real folder with a sink for its output, as the tests of the pipeline have it. */
import { join } from "node:path";
import { realFiles } from "../../agent/base/files.ts";
import { Pipeline } from "../../agent/pipeline.ts";
import type { ElasticsearchSettings, Settings } from "../../agent/settings.ts";
import { Spool } from "../../agent/spool/spool.ts";
import type { Snapshot } from "../../agent/status/snapshot.ts";
import { FakeClock } from "../fakes/fake_clock.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { Sink } from "../lab/sink.ts";
import { waitUntil } from "../lab/wait.ts";

const MiB = 1024 * 1024;
const encoder = new TextEncoder();

export function outputTo(url: string): ElasticsearchSettings {
  return {
    type: "elasticsearch",
    name: "cloud",
    urls: [url],
    caPem: undefined,
    apiKey: undefined,
    username: undefined,
    password: undefined,
    proxy: undefined,
    index: "mqtt-%Y.%m.%d",
    dataStream: undefined,
    manageTemplate: true,
  };
}

export function settingsFor(dir: string, outputs: ElasticsearchSettings[]): Settings {
  return {
    plant: "vigo",
    hostIp: "192.0.2.1",
    labels: {},
    labelsFromTopic: undefined,
    mqtt: {
      url: undefined,
      listen: undefined,
      caPem: undefined,
      fingerprintSha256: undefined,
      username: undefined,
      password: undefined,
      certificatePem: undefined,
      key: undefined,
      clientId: "agent",
      topics: ["#"],
      exclude: [],
      qos: 1,
      maxPayloadBytes: MiB,
      statusTopic: undefined,
      keepAliveS: 60,
    },
    spool: { dir, maxSizeBytes: 64 * MiB, minFreeBytes: MiB, syncWindowMs: 20, whenFull: "block" },
    outputs,
    log: { format: "text", level: "info" },
    socket: join(dir, "agent.sock"),
    file: undefined,
  };
}

/** Puts readings on disk, as an earlier life of the agent would have. */
export async function store(dir: string, payloads: string[]): Promise<void> {
  const spool = await Spool.open({ files: realFiles, dir, log: new MemoryLog(), floorSequence: 1 });
  const clock = new FakeClock();
  const { bootId } = clock;
  const arrival = {
    wallMs: clock.wallMs(),
    bootMs: clock.bootMs(),
    bootId,
    synchronised: "yes" as const,
    queued: false,
    lastConnectedMs: undefined,
  };
  for (const payload of payloads) {
    spool.addReading({
      qos: 1,
      retain: false,
      duplicate: false,
      packetId: 1,
      topic: encoder.encode("hall/t"),
      payload: encoder.encode(payload),
      properties: new Uint8Array(),
      truncated: false,
    }, arrival);
  }
  await spool.commit();
  await spool.close();
}

export interface Bench {
  dir: string;
  sink: Sink;
  log: MemoryLog;
  open(outputs?: ElasticsearchSettings[]): Promise<Pipeline>;
}

export async function withBench(test: (bench: Bench) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-pipeline-" });
  await using sink = new Sink();
  const log = new MemoryLog();
  const open = (outputs = [outputTo(sink.url)]) =>
    Pipeline.open(settingsFor(dir, outputs), {
      files: realFiles,
      clock: new FakeClock(),
      log,
      version: "0.1.0",
    });
  try {
    await test({ dir, sink, log, open });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Runs a pipeline until its snapshot shows something, and then until `during` ends. */
export async function running(
  pipeline: Pipeline,
  until: (snapshot: Snapshot) => boolean,
  during: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const stop = new AbortController();
  const ended = pipeline.run(stop.signal);
  try {
    await waitUntil(async () => until(await pipeline.snapshot()), 5_000, "the pipeline", {
      everyMs: 5,
      explain: async () => JSON.stringify(await pipeline.snapshot(), null, 1),
    });
    await during();
  } finally {
    stop.abort();
    await ended;
  }
}
