import assert from "node:assert/strict";
import fc from "fast-check";
import { DiskFullError } from "../../agent/base/errors.ts";
import { Reserve } from "../../agent/base/reserve.ts";
import { decodeLine, encodeLine, letterToOutgoing, makeLetter } from "../../agent/shipper/dead_letter.ts";
import { type DeadLetter, DeadLetters } from "../../agent/shipper/dead_letters.ts";
import { encodeProperty, encodeUserProperty } from "../../agent/spool/properties.ts";
import { propertiesBytesMax } from "../../agent/limits.ts";
import { FakeFiles } from "../fakes/fake_files.ts";
import { copyOf } from "../lab/readings.ts";
import { hostileOutgoing } from "./document_generated.ts";
import { arrivalMs, bytes, makeOutgoing, Surroundings } from "./shipper_fixture.ts";

const path = "/spool/cloud.dead.ndjson";
const refusal = { atMs: arrivalMs, status: 400, reason: "no" };

const letter = (sequence: number, payload: string | Uint8Array = "x") => {
  return makeLetter(makeOutgoing({ sequence, payload }), refusal);
};

async function openDisk(): Promise<
  { files: FakeFiles; reserve: Reserve; open: (durable?: number) => Promise<DeadLetters> }
> {
  const files = new FakeFiles();
  files.makeFolder("/spool");
  const reserve = await Reserve.open(files, "/spool/reserve", 8_192);
  return { files, reserve, open: (durable = Infinity) => DeadLetters.open(files, path, reserve, durable) };
}

Deno.test("dead letters: they are durable when append returns, and read back as they were", async () => {
  const { files, open } = await openDisk();
  const letters = await open();
  await letters.append([letter(1), letter(2)]);
  files.crash("lost");
  const again = await open();
  assert.deepEqual(again.sequences(), [1, 2]);
  assert.deepEqual(again.read(2), letter(2));
  assert.equal(again.read(3), undefined);
});

Deno.test("dead letters: a letter holds the whole record, whatever it is, and makes the same reading again", () => {
  fc.assert(
    fc.property(hostileOutgoing, fc.boolean(), (outgoing, queued) => {
      const given = { ...outgoing, reading: { ...outgoing.reading, queued } };
      const line = encodeLine(makeLetter(given, refusal));
      const back = letterToOutgoing(decodeLine(line.subarray(0, -1)) as unknown as DeadLetter);
      const plain = (one: typeof given) => {
        const { topic, payload, properties, ...rest } = copyOf(one.reading);
        return { ...one, reading: { ...rest, parts: [topic, payload, properties].map((part) => [...part]) } };
      };
      assert.deepEqual(plain(back), plain(given));
    }),
    { numRuns: 200 },
  );
});

Deno.test("dead letters: the connection time of a queued reading is in its record, whatever else is", async () => {
  for (const properties of [new Uint8Array(0), encodeProperty(99, new Uint8Array(propertiesBytesMax - 6))]) {
    const around = await Surroundings.open();
    await around.store({ queued: true, lastConnectedMs: arrivalMs - 5_000, properties });
    const reading = around.readings()[0]!;
    assert.equal(reading.properties.length, properties.length + 14);
    const made = makeLetter({ ...makeOutgoing(), reading }, refusal);
    assert.deepEqual(copyOf(letterToOutgoing(made).reading), copyOf(reading));
  }
});

Deno.test("dead letters: a record that is damaged is not sent as another one", () => {
  const made = letter(1, "a payload");
  const record = Uint8Array.fromBase64(made.record);
  for (const at of [0, 5, 13, 30, 66, record.length - 1]) {
    const flipped = record.slice();
    flipped[at]! ^= 1;
    assert.throws(() => letterToOutgoing({ ...made, record: flipped.toBase64() }), /its record is damaged/);
  }
  assert.throws(() => letterToOutgoing({ ...made, record: record.subarray(1).toBase64() }), /damaged/);
  assert.throws(() => letterToOutgoing({ ...made, record: "" }), /damaged/);
});

Deno.test("dead letters: a torn append is cut off, at every byte", async () => {
  const { files, open } = await openDisk();
  const letters = await open();
  await letters.append([letter(1)]);
  const durableBytes = letters.sizeBytes;
  await letters.append([letter(2), letter(3)]);
  const whole = files.content(path);
  const firstEnd = durableBytes + letters.bytesOf(2);
  for (let length = durableBytes; length < whole.length; length++) {
    files.damage(path, () => whole.subarray(0, length));
    const again = await open(durableBytes);
    assert.deepEqual(again.sequences(), length < firstEnd ? [1] : [1, 2], `cut at ${length}`);
    assert.equal(again.damaged, 0);
    await again.append([letter(9)]);
    assert.deepEqual((await open(durableBytes)).sequences(), length < firstEnd ? [1, 9] : [1, 2, 9]);
  }
});

Deno.test("dead letters: zeros where a torn append was are cut off too", async () => {
  const { files, open } = await openDisk();
  const letters = await open();
  await letters.append([letter(1)]);
  const durableBytes = letters.sizeBytes;
  const zeros = new Uint8Array(300);
  zeros[200] = 0x0a;
  files.damage(path, (content) => Uint8Array.from([...content, ...zeros]));
  const again = await open(durableBytes);
  assert.deepEqual([again.sequences(), again.damaged, again.sizeBytes], [[1], 0, durableBytes]);
});

Deno.test("dead letters: a line that was durable and is damaged counts as damaged and stays in the file", async () => {
  const { files, open } = await openDisk();
  const letters = await open();
  await letters.append([letter(1), letter(2), letter(3)]);
  const firstBytes = letters.bytesOf(1);
  files.damage(path, (content) => {
    content[firstBytes + 40]! ^= 1;
    return content;
  });
  const again = await open(letters.sizeBytes);
  assert.deepEqual([again.sequences(), again.damaged], [[1, 3], 1]);
  await again.remove([1]);
  const third = await open(again.sizeBytes);
  assert.deepEqual([third.sequences(), third.damaged], [[3], 1]);
  assert.deepEqual(third.read(3), letter(3));
});

Deno.test("dead letters: removed ones stay away, replaced ones show the newer reason", async () => {
  const { files, open } = await openDisk();
  const letters = await open();
  await letters.append([letter(1), letter(2), letter(3)]);
  await letters.remove([2, 77]);
  await letters.append([{ ...letter(3), reason: "still no" }]);
  files.crash("lost");
  const again = await open();
  assert.deepEqual(again.sequences(), [1, 3]);
  assert.equal(again.read(3)?.reason, "still no");
  assert.equal(again.count, 2);
});

Deno.test("dead letters: the file shrinks when most of it is history, and loses nothing by it", async () => {
  const { files, open } = await openDisk();
  const letters = await open();
  const many = Array.from({ length: 40 }, (_, at) => letter(at + 1, "x".repeat(50_000)));
  await letters.append(many);
  const before = letters.sizeBytes;
  await letters.remove(many.slice(0, 35).map((one) => one.sequence));
  assert.ok(letters.sizeBytes < before / 4);
  assert.equal(letters.sizeBytes, files.content(path).length);
  assert.deepEqual(letters.read(40), many[39]);
  await letters.append([letter(41)]);
  files.crash("lost");
  const again = await open();
  assert.deepEqual(again.sequences(), [36, 37, 38, 39, 40, 41]);
  assert.deepEqual(again.read(37), many[36]);
  assert.equal(again.liveBytes, letters.liveBytes);
});

Deno.test("dead letters: a disk that fails in the middle of an append leaves none of it, and the next one is whole", async () => {
  for (const verb of ["append", "syncData"] as const) {
    for (const alsoTruncate of [false, true]) {
      const { files, open } = await openDisk();
      const letters = await open();
      await letters.append([letter(1)]);
      files.fault = (call) =>
        call.verb === verb || (alsoTruncate && call.verb === "truncate") ? "EIO" : undefined;
      await assert.rejects(letters.append([letter(2)]), { code: "EIO" });
      assert.deepEqual(letters.sequences(), [1]);
      files.heal();
      await letters.append([letter(3)]);
      files.crash("lost");
      assert.deepEqual((await open()).sequences(), [1, 3]);
    }
  }
});

Deno.test("dead letters: on a full disk they are still written, out of the reserve, as far as that goes", async () => {
  const { files, reserve, open } = await openDisk();
  const letters = await open();
  await letters.append([letter(1)]);
  files.capacityBytes = 8_192 + letters.sizeBytes;
  await letters.append([letter(2, "y".repeat(2_000))]);
  assert.equal(reserve.held, false);
  await assert.rejects(letters.append([letter(3, "y".repeat(9_000))]), DiskFullError);
  files.crash("lost");
  assert.deepEqual((await open()).sequences(), [1, 2]);
});

Deno.test("dead letters: what a killed agent had written is made durable before it counts", async () => {
  const { files, open } = await openDisk();
  const letters = await open();
  await letters.append([letter(1)]);
  const durableBytes = letters.sizeBytes;
  const file = files.open(path, "append");
  file.append(encodeLine(letter(2))); // kill -9 between write and sync: it stands in the page cache
  file.close();
  assert.deepEqual((await open(durableBytes)).sequences(), [1, 2]);
  files.crash("lost");
  assert.deepEqual((await open(durableBytes)).sequences(), [1, 2]);
});

Deno.test("dead letters: topics and user properties stand in a letter so that a person can read it", () => {
  const properties = encodeUserProperty(bytes("unit"), bytes("bar"));
  const made = makeLetter(makeOutgoing({ topic: "hall/ñ", properties }, { startMs: arrivalMs - 1 }), refusal);
  const { record, ...rest } = made;
  assert.ok(record.length > 100);
  assert.deepEqual(rest, {
    ...{
      sequence: 77,
      id: "0123456789abcdef-77",
      atMs: arrivalMs,
      status: 400,
      reason: "no",
      topic: "hall/ñ",
    },
    ...{ target: "mqtt-%Y.%m.%d", arrivalMs, mark: "synced", startMs: arrivalMs - 1 },
  });
});
