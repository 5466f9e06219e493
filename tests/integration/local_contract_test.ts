import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { LocalOutput, localTarget } from "../../agent/shipper/local.ts";
import { type Destination, testOutput } from "../contract/output_contract.ts";
import { FakeClock } from "../fakes/fake_clock.ts";
import { MemoryLog } from "../fakes/memory_log.ts";

/** A store whose folder can be taken away, as a disk that is not mounted: something else stands in its place. */
function destination(): Promise<Destination> {
  const root = Deno.makeTempDirSync({ prefix: "sensorlog-contract-" });
  const dir = join(root, "store");
  const spool = {
    ...{ dir: root, maxSizeBytes: 2 ** 30, minFreeBytes: 2 ** 20 },
    ...{ syncWindowMs: 20, whenFull: "block" as const },
  };
  const settings = { type: "local" as const, name: "here", dir, keepMs: undefined, maxSizeBytes: 2 ** 28 };
  return Promise.resolve({
    make: () => new LocalOutput(settings, { spool }, { log: new MemoryLog(), clock: new FakeClock() }),
    target: localTarget,
    // looked at as any other program would, while the output has it open
    arrived: () => {
      const db = new DatabaseSync(join(dir, "readings.sqlite"), { readOnly: true });
      try {
        return Promise.resolve(db.prepare("SELECT id FROM readings").all().map((row) => String(row["id"])));
      } finally {
        db.close();
      }
    },
    down: () => {
      Deno.renameSync(dir, `${dir}.away`);
      Deno.writeTextFileSync(dir, "not a folder");
      return Promise.resolve();
    },
    up: () => {
      Deno.removeSync(dir);
      Deno.renameSync(`${dir}.away`, dir);
      return Promise.resolve();
    },
    refused: undefined,
    end: () => Deno.remove(root, { recursive: true }),
  });
}

testOutput("local", destination);
