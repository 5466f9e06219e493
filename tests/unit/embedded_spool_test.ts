import assert from "node:assert/strict";
import { FakeFiles } from "../fakes/fake_files.ts";
import { arrival, message2, open, texts } from "./spool_setup.ts";

Deno.test("held ids: a QoS 2 reading without a packet id is stored at QoS 2 and holds nothing, after a crash too", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  spool.addReading(message2("of some client", 0), arrival);
  spool.addReading(message2("of the broker", 7), arrival);
  spool.addReading(message2("of another client", 0), arrival);
  assert.deepEqual([spool.heldCount(), spool.isHeld(0), spool.isHeld(7)], [1, false, true]);
  await spool.commit();
  files.crash("lost");
  const { spool: next } = await open(files);
  assert.deepEqual([next.heldCount(), next.isHeld(0), next.isHeld(7)], [1, false, true]);
  assert.deepEqual(texts(next), ["of some client", "of the broker", "of another client"]);
  assert.deepEqual(next.reader(1).next(10, 1_000_000).readings.map((one) => [one.qos, one.packetId]), [
    [2, 0],
    [2, 7],
    [2, 0],
  ]);
});
