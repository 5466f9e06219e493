/**
 * Spool and session in thousands of interleavings of arrivals, acknowledgements, syncs, crashes, full and failing disks:
 * what was acknowledged is read, at QoS 2 once; nothing is read before it is durable; ids are used once; the numbers add
 * up; held ids are right. Without the syncs it must fail, or it would prove nothing.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Files } from "../../agent/base/files.ts";
import { interleavings } from "./commands.ts";
import { World } from "./world.ts";

function model(wrap?: (files: Files) => Files) {
  return fc.asyncProperty(interleavings, async (commands) => {
    const world = new World(wrap);
    await world.start();
    await fc.asyncModelRun(() => ({ model: {}, real: world }), commands);
    await world.settle();
  });
}

/** The same disk, with the sync of files or folders taken out. */
function without(sync: "syncData" | "syncFolder") {
  return (files: Files): Files => {
    const list = files.list.bind(files);
    const same: Files = {
      list,
      open: (path, mode) => {
        const file = files.open(path, mode);
        if (sync === "syncData") file.syncData = () => Promise.resolve();
        return file;
      },
      read: files.read.bind(files),
      replace: files.replace.bind(files),
      rename: files.rename.bind(files),
      unlink: files.unlink.bind(files),
      makeFolder: files.makeFolder.bind(files),
      syncFolder: sync === "syncFolder" ? () => Promise.resolve() : files.syncFolder.bind(files),
      space: files.space.bind(files),
    };
    return same;
  };
}

Deno.test("model: whatever happens in whatever order, promises 1 to 4 hold", async () => {
  await fc.assert(model(), { numRuns: 2_500, endOnFailure: false });
});

for (const sync of ["syncData", "syncFolder"] as const) {
  Deno.test(`model: with ${sync} taken out it fails, as it must`, async () => {
    const outcome = await fc.check(model(without(sync)), { numRuns: 2_500, endOnFailure: true });
    assert.ok(outcome.failed, "acknowledged readings were kept without being synced: the model sees nothing");
    assert.ok(outcome.errorInstance instanceof assert.AssertionError, String(outcome.errorInstance));
  });
}
