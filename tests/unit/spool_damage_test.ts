/** A small segment cut at every byte, and with every byte flipped. */
import assert from "node:assert/strict";
import { headerBytes } from "../../agent/spool/format.ts";
import { FakeFiles } from "../fakes/fake_files.ts";
import { arrival, dir, message2, open, readAll, textOf } from "./spool_setup.ts";

const heldBytes = 68;
const stored = ["a", "reading two", "", "reading four", "e"];

/** One segment of five readings at QoS 2, ids 1 to 5; where each record begins. */
async function segment() {
  const files = new FakeFiles();
  const { spool } = await open(files);
  const starts: number[] = [];
  for (const [i, text] of stored.entries()) {
    starts.push(i === 0 ? headerBytes + heldBytes : spool.sizeBytes());
    spool.addReading(message2(text, i + 1), arrival);
    await spool.commit();
  }
  await spool.close();
  const { path } = spool.segments()[0]!;
  return { content: files.content(path), path, starts: [...starts, spool.sizeBytes()] };
}

/** Recovers a folder with only that file, stores one more, crashes, and recovers again. */
async function recovered(path: string, content: Uint8Array) {
  const files = new FakeFiles();
  files.makeFolder(dir);
  files.open(path, "create");
  await files.syncFolder(dir);
  files.damage(path, () => content);
  const { spool } = await open(files);
  const { report } = spool;
  const all = readAll(spool);
  const held = [1, 2, 3, 4, 5].filter((id) => spool.isHeld(id));
  spool.addReading(message2("next", 9), arrival);
  await spool.commit();
  files.crash("lost");
  const again = readAll((await open(files)).spool);
  assert.equal(textOf(again.readings.at(-1)!), "next");
  const before = again.readings.slice(0, -1);
  assert.deepEqual(
    before.map((reading) => reading.sequence),
    all.readings.map((reading) => reading.sequence),
  );
  return { all, report, held, texts: all.readings.map(textOf) };
}

Deno.test("recovery: cut at every byte, every whole record before the cut is kept and the torn one cut off", async () => {
  const { content, path, starts } = await segment();
  for (let cut = 0; cut <= content.length; cut++) {
    const whole = starts.slice(1).filter((end) => end <= cut).length;
    const { all, report, held, texts } = await recovered(path, content.slice(0, cut));
    assert.deepEqual(texts, stored.slice(0, whole), `cut at ${cut}`);
    assert.deepEqual(held, [1, 2, 3, 4, 5].slice(0, whole), `cut at ${cut}`);
    assert.deepEqual([all.damaged, report.damagedReadings], [0, 0], `cut at ${cut}`);
    const atBoundary = [...starts, headerBytes].includes(cut);
    if (cut >= headerBytes) assert.equal(report.tornTails, atBoundary ? 0 : 1, `cut at ${cut}`);
    assert.deepEqual(
      all.readings.map((reading) => reading.sequence),
      stored.slice(0, whole).map((_, i) => i + 1),
    );
  }
});

Deno.test("recovery: every byte flipped, all but the damaged record is kept and that one counted", async () => {
  const { content, path, starts } = await segment();
  for (let at = 0; at < content.length; at++) {
    for (const bit of [0x01, 0x80, 0xff]) {
      const flipped = content.slice();
      flipped[at]! ^= bit;
      const hit = starts.findLastIndex((start) => start <= at); // -1: header or held ids
      const { all, report, held, texts } = await recovered(path, flipped);
      const what = `byte ${at} with ${bit}`;
      assert.deepEqual(texts, stored.filter((_, i) => i !== hit), what);
      assert.deepEqual(held, [1, 2, 3, 4, 5].filter((id) => id !== hit + 1), what);
      // the last record damaged can't be told from a torn one
      const last = hit === stored.length - 1;
      assert.deepEqual([all.damaged, report.damagedReadings], hit < 0 || last ? [0, 0] : [1, 1], what);
      assert.equal(report.tornTails, last ? 1 : 0, what);
    }
  }
});

Deno.test("recovery: every byte flipped while the agent runs is counted by the reader", async () => {
  const { starts } = await segment();
  const files = new FakeFiles();
  const { spool } = await open(files);
  for (const [i, text] of stored.entries()) {
    spool.addReading(message2(text, i + 1), arrival);
    await spool.commit();
  }
  const { path } = spool.segments()[0]!;
  const content = files.content(path);
  for (let at = headerBytes; at < content.length; at++) {
    files.damage(path, () => {
      const flipped = content.slice();
      flipped[at]! ^= 0x10;
      return flipped;
    });
    const hit = starts.findLastIndex((start) => start <= at);
    const all = readAll(spool);
    assert.deepEqual(all.readings.map(textOf), stored.filter((_, i) => i !== hit), `byte ${at}`);
    assert.equal(all.damaged, hit < 0 ? 0 : 1, `byte ${at}`);
  }
});
