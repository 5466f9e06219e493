/** Promise 2: a reader that looks while a batch becomes durable takes nothing of it for damaged. */
import assert from "node:assert/strict";
import { FakeFiles } from "../fakes/fake_files.ts";
import { arrival, message, open, textOf } from "./spool_setup.ts";

Deno.test("reader: at every moment of a commit all that it gets is whole, and nothing is skipped", async () => {
  for (let turnsAhead = 0; turnsAhead < 40; turnsAhead++) {
    const { spool } = await open(new FakeFiles());
    const reader = spool.reader(1);
    spool.addReading(message("1"), arrival);
    await spool.commit();
    spool.addReading(message("2"), arrival);
    const committing = spool.commit();
    for (let turn = 0; turn < turnsAhead; turn++) await Promise.resolve();
    const got = [reader.next(10, 1e6)]; // the first reading waits, the second one is becoming durable
    await committing;
    spool.addReading(message("3"), arrival);
    await spool.commit();
    got.push(reader.next(10, 1e6));
    assert.deepEqual(got.map(({ damaged }) => damaged), [0, 0], `after ${turnsAhead} turns`);
    assert.deepEqual(got.flatMap(({ readings }) => readings).map(textOf), ["1", "2", "3"]);
  }
});
