import assert from "node:assert/strict";
import fc from "fast-check";
import { packBatch, packedCount, unpackBatch } from "../../agent/shipper/local_batch.ts";
import { documentTime, propertyFields } from "../../agent/shipper/document.ts";
import { BulkEncoder } from "../../agent/shipper/bulk_encoder.ts";
import { contentOf } from "../../agent/shipper/payload_content.ts";
import { recordId } from "../../agent/spool/spool_types.ts";
import { hostileOutgoing } from "./document_generated.ts";
import { series, StoreFolder } from "./local_fixture.ts";
import { arrivalMs, makeOutgoing } from "./shipper_fixture.ts";

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

Deno.test("local store: a reading comes out as it went in, under its own id", async () => {
  using folder = new StoreFolder();
  await folder.put([
    makeOutgoing({ sequence: 1, payload: "21.5" }),
    makeOutgoing({ sequence: 2, payload: "open", qos: 2, retain: true }, { mark: "retained" }),
    makeOutgoing({ sequence: 3, payload: '{"t":20,"h":{"rel":0.5}}', topic: "hall/x" }, {
      mark: "queued",
      startMs: arrivalMs - 5_000,
    }),
    makeOutgoing({ sequence: 4, payload: new Uint8Array([0xff, 0xfe, 0]), qos: 0 }),
    makeOutgoing({ sequence: 5, payload: "" }),
    makeOutgoing({ sequence: 6, payload: "12345678901234567890" }),
  ]);
  const common = {
    timeMs: arrivalMs,
    arrivedMs: arrivalMs,
    clock: "synced",
    topic: "hall/press/temperature",
  };
  const usual = { ...common, qos: 1, retain: false, truncated: false };
  const id = (sequence: number) => `0123456789abcdef-${sequence}`;
  assert.deepEqual(folder.read(), [
    { ...usual, id: id(1), number: 21.5 },
    { ...usual, id: id(2), text: "open", qos: 2, retain: true, clock: "retained" },
    {
      ...usual,
      id: id(3),
      json: '{"t":20,"h":{"rel":0.5}}',
      topic: "hall/x",
      clock: "queued",
      startMs: arrivalMs - 5_000,
    },
    { ...usual, id: id(4), bytes: new Uint8Array([0xff, 0xfe, 0]), qos: 0 },
    { ...usual, id: id(5), text: "" },
    { ...usual, id: id(6), number: 12345678901234567000, text: "12345678901234567890" },
  ]);
});

Deno.test("local store: a reading that brings its own time has it, and the time of its arrival", async () => {
  using folder = new StoreFolder();
  await folder.put([
    makeOutgoing({ sequence: 1, payload: '{"value":20.5,"time":"2026-01-02T03:00:00Z"}' }),
    makeOutgoing({ sequence: 2, payload: '{"value":"off","age_s":60}' }, { mark: "unsynced" }),
  ]);
  const [first, second] = folder.read();
  assert.equal(first!.timeMs, Date.UTC(2026, 0, 2, 3));
  assert.equal(first!.arrivedMs, arrivalMs);
  assert.equal(first!.clock, "payload");
  assert.equal(first!.number, 20.5);
  assert.equal(first!.json, '{"value":20.5,"time":"2026-01-02T03:00:00Z"}');
  assert.equal(second!.timeMs, arrivalMs - 60_000);
  assert.equal(second!.clock, "unsynced");
  assert.equal(second!.text, "off");
});

Deno.test("local store: a reading is there once however often it comes, whatever its time", async () => {
  using folder = new StoreFolder();
  const batch = series(50);
  await folder.put(batch);
  await folder.put([...batch, ...series(1, 51)]);
  // the same id with another time is the same reading: the first one stays
  await folder.put(batch.map((one) => ({ ...one, arrivalMs: one.arrivalMs + 5_000 })));
  const there = folder.read();
  assert.equal(there.length, 51);
  assert.equal(new Set(there.map(({ id }) => id)).size, 51);
  assert.equal(there[0]!.timeMs, batch[0]!.arrivalMs);
  await folder.put([...batch, ...batch]);
  assert.equal(folder.read().length, 51);
});

Deno.test("local store: ids of every segment and sequence are kept apart", async () => {
  using folder = new StoreFolder();
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(
        fc.tuple(
          fc.constantFrom("0000000000000000", "ffffffffffffffff", "0123456789abcdef"),
          fc.oneof(
            fc.nat({ max: 5 }).map((n) => n + 1),
            fc.constantFrom(2 ** 20 - 1, 2 ** 20, 2 ** 20 + 1, 2 ** 21, 2 ** 40, 2 ** 53 - 1),
          ),
        ),
        { selector: (pair) => pair.join("-"), maxLength: 40 },
      ),
      async (pairs) => {
        const batch = pairs.map(([segmentId, sequence]) => makeOutgoing({ segmentId, sequence }));
        await folder.put(batch);
        const there = new Set(folder.read().map(({ id }) => id));
        for (const { reading } of batch) assert.ok(there.has(recordId(reading)), recordId(reading));
      },
    ),
    { numRuns: 20 },
  );
  assert.ok(folder.read().length <= 3 * 12);
});

Deno.test("local store: what a reading is, and its time, is the same as in its document, whatever it holds", async () => {
  using folder = new StoreFolder();
  const encoder = new BulkEncoder({ hostName: "h", hostIp: undefined, labels: {}, topicPattern: undefined });
  const seed = Date.now() % 2 ** 31;
  const batch = fc.sample(hostileOutgoing, { numRuns: 600, seed }).map((one, at) => {
    return { ...one, reading: { ...one.reading, sequence: at } };
  });
  await folder.put(batch);
  const there = new Map(folder.read().map((one) => [one.id, one]));
  assert.equal(there.size, batch.length);
  for (const outgoing of batch) {
    const found = there.get(recordId(outgoing.reading))!;
    const [, line] = encoder.encodeOne(outgoing).toString().split("\n");
    const document = JSON.parse(line!, exactly);
    const { created, start, clock } = document.event;
    const { qos, retain, truncated = false, ...properties } = document.mqtt;
    const json = found.json === undefined ? undefined : JSON.parse(found.json, exactly);
    const time = (ms: number | undefined) => ms === undefined ? undefined : new Date(ms).toISOString();
    assert.deepEqual(
      [time(found.timeMs), time(found.arrivedMs), time(found.startMs), found.clock, found.topic],
      [document["@timestamp"], created, start, clock, document.topic],
      `seed ${seed}`,
    );
    assert.deepEqual(
      [found.number, found.text, json, found.bytes?.toBase64()],
      [document.value, document.text, document.payload, document.payload_base64],
      `seed ${seed}`,
    );
    assert.deepEqual([found.qos, found.retain, found.truncated], [qos, retain, truncated]);
    const { truncated: _, ...kept } = JSON.parse(found.properties ?? "{}");
    assert.deepEqual(kept, properties);
  }
});

/** -0 and what is beyond a double are compared as they are written. */
function exactly(_key: string, value: unknown): unknown {
  return Object.is(value, -0) ? 0 : value;
}

Deno.test("local batch: what is unpacked is what was packed", () => {
  fc.assert(fc.property(fc.array(hostileOutgoing, { maxLength: 20 }), (batch) => {
    const packed = packBatch(batch);
    assert.equal(packedCount(packed), batch.length);
    const items = [...unpackBatch(structuredClone(packed))];
    assert.deepEqual(
      items,
      batch.map(({ reading, arrivalMs, startMs, mark }) => {
        const { segmentId, sequence, qos, retain, truncated, topic, properties, payload } = reading;
        const [t, p, c] = [topic, properties, payload].map((part) => part.slice());
        return {
          segmentId,
          sequence,
          arrivalMs,
          mark,
          startMs,
          qos,
          retain,
          truncated,
          topic: t,
          properties: p,
          payload: c,
        };
      }),
    );
    for (const item of items) {
      const content = contentOf(item.payload, item.truncated);
      assert.ok(documentTime(item, content).timestampMs >= 0);
      assert.ok(propertyFields(item.properties, item.truncated));
    }
  }));
});

Deno.test("local store: texts with NUL, half characters and a byte order mark stay whole", async () => {
  using folder = new StoreFolder();
  const texts = ["a\0b", "\0", "\ufeffx", "😀", "x".repeat(70_000), "'; DROP TABLE stored; --"];
  await folder.put(
    texts.map((payload, at) => makeOutgoing({ sequence: at + 1, payload, topic: `t/${payload}` })),
  );
  assert.deepEqual(folder.read().map(({ text }) => text), texts);
  assert.deepEqual(folder.read().map(({ topic }) => topic), texts.map((text) => `t/${text}`));
});

Deno.test("local store: every program sees readings in a view, with times and ids as everywhere else", async () => {
  using folder = new StoreFolder();
  const store = await folder.open();
  store.write(packBatch([
    makeOutgoing({ sequence: 7, payload: "21.5" }),
    makeOutgoing({ sequence: 8, payload: '{"t":1}', qos: 2, retain: true }, {
      mark: "queued",
      startMs: arrivalMs - 1,
    }),
  ]));
  const time = "2026-01-02T03:04:05.678Z";
  const none = { text: null, json: null, number: null, bytes: null, start: null, properties: null };
  assert.deepEqual(folder.ask("SELECT * FROM readings ORDER BY time_ms, id"), [
    {
      ...none,
      ...{ id: "0123456789abcdef-7", time, topic: "hall/press/temperature", number: 21.5 },
      ...{ arrived: time, clock: "synced", qos: 1, retain: 0, truncated: 0, time_ms: arrivalMs },
    },
    {
      ...none,
      ...{ id: "0123456789abcdef-8", time, topic: "hall/press/temperature", json: '{"t":1}' },
      ...{ arrived: time, clock: "queued", qos: 2, retain: 1, truncated: 0, time_ms: arrivalMs },
      start: "2026-01-02T03:04:05.677Z",
    },
  ]);
  const figures = folder.ask("SELECT json_extract(json, '$.t') AS t FROM readings WHERE json IS NOT NULL");
  assert.deepEqual(figures, [{ t: 1 }]);
  store.close();
});

Deno.test("local store: folder and files are closed to others from the start, and no log is left behind", async () => {
  using folder = new StoreFolder();
  const store = await folder.open();
  store.write(packBatch(series(10)));
  const mode = (name: string) => Deno.statSync(`${folder.dir}/${name}`).mode! & 0o777;
  assert.deepEqual(folder.names(), ["readings.sqlite", "readings.sqlite-shm", "readings.sqlite-wal"]);
  assert.equal(Deno.statSync(folder.dir).mode! & 0o777, 0o750);
  for (const name of ["readings.sqlite", "readings.sqlite-wal", "readings.sqlite-shm"]) {
    assert.equal(mode(name) & ~0o640, 0, name);
  }
  store.close();
  store.close();
  assert.deepEqual(folder.names(), ["readings.sqlite"]);
  assert.equal(decoder.decode(Deno.readFileSync(folder.file).subarray(0, 15)), "SQLite format 3");
  assert.deepEqual(folder.ask("PRAGMA auto_vacuum"), [{ auto_vacuum: 2 }]);
  assert.deepEqual(folder.ask("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
});

/** What LOCAL.md measures, by the words of its table. */
const payloads: Record<string, (at: number) => string> = {
  "a number with decimals": (at) => (20 + (at * 7 % 1_000) / 100 + 0.001).toFixed(3),
  "a whole number": (at) => String(at % 1_000),
  "a short text (4 to 10 bytes)": (at) => ["open", "closed", "door ajar", "unknown st"][at % 4]!,
  "a JSON object of 58 bytes": (at) =>
    `{"t":${20 + at % 10}.5,"h":${50 + at % 9}.5,"battery":3.31,"uptime":${1_000_000 + at}}`.padEnd(58, " "),
};

Deno.test("local store: a reading takes about as much room as LOCAL.md says", async () => {
  const text = Deno.readTextFileSync(new URL("../../agent/shipper/LOCAL.md", import.meta.url));
  const said = [...text.matchAll(/^\| (a .*?) \| (\d+) \|$/gm)];
  assert.deepEqual(said.map(([, what]) => what), Object.keys(payloads));
  for (const [, what, bytes] of said) {
    using folder = new StoreFolder();
    const store = await folder.open();
    const count = 30_000;
    for (let from = 0; from < count; from += 2_000) {
      store.write(packBatch(Array.from({ length: 2_000 }, (_, i) => {
        const [at, sequence] = [from + i, 5_000_000 + from + i];
        const parts = { sequence, topic: `hall/${at % 50}/temperature`, payload: payloads[what!]!(at) };
        return makeOutgoing({ ...parts, wallMs: arrivalMs + 20 * Math.floor(at / 2) });
      })));
    }
    store.close();
    const each = Deno.statSync(folder.file).size / count;
    assert.ok(Math.abs(each - Number(bytes)) < 4, `${what}: ${each.toFixed(1)} bytes, said are ${bytes}`);
  }
});
