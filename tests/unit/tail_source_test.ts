import assert from "node:assert/strict";
import { realFiles } from "../../agent/base/files.ts";
import { tailBehindMax } from "../../agent/limits.ts";
import { Spool } from "../../agent/spool/spool.ts";
import type { TailBatch } from "../../agent/status/agent_api.ts";
import { tailSpool } from "../../agent/status/tail_source.ts";
import { MemoryLog } from "../fakes/memory_log.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const all = () => true;

async function store(spool: Spool, topic: string, payloads: string[]): Promise<void> {
  const arrival = {
    wallMs: 1,
    bootMs: 1,
    bootId: "0".repeat(32),
    synchronised: "yes" as const,
    queued: false,
    lastConnectedMs: undefined,
  };
  for (const payload of payloads) {
    spool.addReading({
      qos: 0,
      retain: false,
      duplicate: false,
      packetId: 0,
      topic: encoder.encode(topic),
      payload: encoder.encode(payload),
      properties: new Uint8Array(),
      truncated: false,
    }, arrival);
  }
  await spool.commit();
}

async function withSpool(test: (spool: Spool) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-tail-" });
  const options = { files: realFiles, dir, log: new MemoryLog(), floorSequence: 1, segmentBytes: 64 * 1024 };
  const spool = await Spool.open(options);
  try {
    await test(spool);
  } finally {
    await spool.close();
    await Deno.remove(dir, { recursive: true });
  }
}

const payloads = (batch: TailBatch) => batch.readings.map((reading) => decoder.decode(reading.payload));

Deno.test("tail: begins with what is stored from now on, and goes on as readings come", async () => {
  await withSpool(async (spool) => {
    await store(spool, "a", ["before"]);
    const stop = new AbortController();
    const tail = tailSpool(spool, all, stop.signal);
    const first = tail.next();
    await store(spool, "a", ["1", "2"]);
    assert.deepEqual(payloads((await first).value!), ["1", "2"]);
    const second = tail.next();
    await store(spool, "a", ["3"]);
    assert.deepEqual(payloads((await second).value!), ["3"]);
    const last = tail.next();
    stop.abort();
    assert.ok((await last).done);
  });
});

Deno.test("tail: shows only topics that match", async () => {
  await withSpool(async (spool) => {
    const stop = new AbortController();
    const tail = tailSpool(spool, (topic) => decoder.decode(topic) === "b", stop.signal);
    const first = tail.next();
    await store(spool, "a", ["1"]);
    await store(spool, "b", ["2"]);
    assert.deepEqual(payloads((await first).value!), ["2"]);
    await tail.return(undefined);
  });
});

Deno.test("tail: a slow reader gets on at the end and is told what it missed", async () => {
  await withSpool(async (spool) => {
    const stop = new AbortController();
    const tail = tailSpool(spool, all, stop.signal);
    const first = tail.next();
    await store(spool, "a", ["0"]);
    await first;
    const many = Array.from({ length: tailBehindMax + 1 }, (_, i) => String(i));
    await store(spool, "a", many);
    const missed = (await tail.next()).value!;
    assert.deepEqual({ skipped: missed.skipped, readings: missed.readings.length }, {
      skipped: many.length,
      readings: 0,
    });
    const next = tail.next();
    await store(spool, "a", ["new"]);
    assert.deepEqual(payloads((await next).value!), ["new"]);
    await tail.return(undefined);
  });
});

Deno.test("tail: one that is behind, but not too far, gets every reading once and in order", async () => {
  await withSpool(async (spool) => {
    const stop = new AbortController();
    const tail = tailSpool(spool, all, stop.signal);
    const first = tail.next();
    const many = Array.from({ length: 3_000 }, (_, i) => String(i));
    for (let i = 0; i < many.length; i += 300) await store(spool, "a", many.slice(i, i + 300));
    const got = payloads((await first).value!);
    while (got.length < many.length) got.push(...payloads((await tail.next()).value!));
    assert.deepEqual(got, many);
    await tail.return(undefined);
  });
});
