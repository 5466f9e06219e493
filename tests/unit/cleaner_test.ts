import assert from "node:assert/strict";
import { type Files, realFiles } from "../../agent/base/files.ts";
import { Cleaner } from "../../agent/cleaner/cleaner.ts";
import { sizeMarks } from "../../agent/cleaner/room.ts";
import { cleanIntervalMs } from "../../agent/limits.ts";
import type { SpoolSettings } from "../../agent/settings.ts";
import { Spool } from "../../agent/spool/spool.ts";
import { FakeClock } from "../fakes/fake_clock.ts";
import { MemoryLog } from "../fakes/memory_log.ts";

const MiB = 1024 * 1024;
const plenty = 1024 * 1024 * MiB;
const encoder = new TextEncoder();

/** A real spool in a folder of its own, a cleaner over it, and a disk whose free space the test sets. */
class Bench {
  readonly clock = new FakeClock();
  readonly log = new MemoryLog();
  confirmed: number[] = [1];
  freeBytes = plenty;
  restored = 0;
  reserveFails = false;
  readonly cleaner: Cleaner;
  settings: SpoolSettings;

  constructor(readonly dir: string, readonly spool: Spool, part: Partial<SpoolSettings>) {
    this.settings = {
      dir,
      maxSizeBytes: 16 * MiB,
      minFreeBytes: 512 * MiB,
      syncWindowMs: 20,
      whenFull: "block",
      ...part,
    };
    this.cleaner = new Cleaner({
      // the real disk can't be made to run out of space here
      files: {
        ...realFiles,
        space: () => Promise.resolve({ freeBytes: this.freeBytes, totalBytes: plenty }),
      },
      clock: this.clock,
      log: this.log,
      spool,
      settings: this.settings,
      confirmedBelow: () => this.confirmed,
      reserve: {
        restore: () => {
          this.restored++;
          return this.reserveFails ? Promise.reject(new Error("EIO")) : Promise.resolve(true);
        },
      },
    });
  }

  /** Stores readings of 1 MiB each, one per commit. */
  async store(count: number): Promise<void> {
    const { clock } = this;
    const arrival = {
      wallMs: clock.wallMs(),
      bootMs: clock.bootMs(),
      bootId: clock.bootId,
      synchronised: "yes" as const,
      queued: false,
      lastConnectedMs: undefined,
    };
    for (let i = 0; i < count; i++) {
      this.spool.addReading({
        qos: 1,
        retain: false,
        duplicate: false,
        packetId: 1,
        topic: encoder.encode("a"),
        payload: new Uint8Array(MiB),
        properties: new Uint8Array(),
        truncated: false,
      }, arrival);
      await this.spool.commit();
    }
  }

  names(): string[] {
    return realFiles.list(this.dir).map((entry) => entry.name).sort();
  }

  alarms(): string[] {
    return this.cleaner.status().alarms.map((alarm) => alarm.code);
  }
}

/** Segments hold two readings of 1 MiB. */
async function withBench(
  part: Partial<SpoolSettings>,
  test: (bench: Bench) => Promise<void>,
  files: Partial<Files> = {},
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-cleaner-" });
  const log = new MemoryLog();
  const options = { files: { ...realFiles, ...files }, dir, log, floorSequence: 1, segmentBytes: 2.5 * MiB };
  const spool = await Spool.open(options);
  try {
    await test(new Bench(dir, spool, part));
  } finally {
    await spool.close();
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("cleaner: a segment goes when every output has done with all of it, and not before", async () => {
  await withBench({}, async (bench) => {
    await bench.store(7);
    assert.equal(bench.names().length, 4);
    bench.confirmed = [7, 2];
    await bench.cleaner.round();
    assert.equal(bench.names().length, 4, "the second output has done with half of the first segment");
    bench.confirmed = [7, 3];
    await bench.cleaner.round();
    assert.equal(bench.spool.oldestSequence(), 3);
    bench.confirmed = [8, 8];
    await bench.cleaner.round();
    assert.equal(bench.names().length, 1, "the open one stays");
  });
});

Deno.test("cleaner: without an output nothing is removed", async () => {
  await withBench({}, async (bench) => {
    await bench.store(5);
    bench.confirmed = [];
    await bench.cleaner.round();
    assert.equal(bench.spool.oldestSequence(), 1);
    assert.equal(bench.names().length, 3);
  });
});

Deno.test("cleaner: run removes soon after the outputs are done, and ends with its signal", async () => {
  await withBench({}, async (bench) => {
    await bench.store(5);
    const stop = new AbortController();
    const running = bench.cleaner.run(stop.signal);
    await bench.clock.advance(100);
    assert.equal(bench.names().length, 3);
    bench.confirmed = [5];
    await bench.clock.advance(cleanIntervalMs + 100);
    assert.equal(bench.names().length, 1);
    stop.abort();
    await running;
  });
});

Deno.test("cleaner: block stops reception when the spool is full, says so, and goes on when there is room", async () => {
  await withBench({}, async (bench) => {
    let stored = 0;
    for (; bench.cleaner.fullReason() === undefined; stored++) await bench.store(1);
    assert.equal(stored, Math.ceil(sizeMarks(bench.settings).fullBytes / MiB));
    await bench.cleaner.round();
    assert.match(bench.cleaner.fullReason()!, /^max_size of 16 MiB/);
    assert.deepEqual(bench.alarms(), ["spool_full"]);
    assert.ok(bench.cleaner.status().full);
    assert.equal(bench.spool.oldestSequence(), 1, "nothing is dropped");

    bench.confirmed = [3];
    await bench.cleaner.round();
    assert.notEqual(bench.cleaner.fullReason(), undefined, "a single segment is not room enough");
    bench.confirmed = [9];
    await bench.cleaner.round();
    assert.equal(bench.cleaner.fullReason(), undefined);
    assert.deepEqual(bench.alarms(), []);
    assert.match(bench.log.text, /warning spool full.*nothing is received[\s\S]*notice there is room again/);
  });
});

Deno.test("cleaner: drop_oldest makes room while messages pour in, and never stops reception", async () => {
  await withBench({ whenFull: "drop_oldest" }, async (bench) => {
    const stop = new AbortController();
    const running = bench.cleaner.run(stop.signal);
    for (let i = 0; i < 40; i++) {
      await bench.store(1);
      assert.equal(bench.cleaner.fullReason(), undefined);
      await bench.clock.advance(30);
      assert.ok(bench.spool.sizeBytes() <= bench.settings.maxSizeBytes);
    }
    assert.ok(bench.spool.oldestSequence() > 25);
    assert.ok(bench.spool.sizeBytes() > 8 * MiB, "no more goes than must");
    assert.deepEqual(bench.alarms(), ["spool_full"]);
    assert.match(bench.log.text, /dropped the oldest readings to make room.*"fromSequence":1,"toSequence":2/);
    bench.confirmed = [41];
    await bench.clock.advance(70_000);
    assert.deepEqual(bench.alarms(), []);
    stop.abort();
    await running;
  });
});

Deno.test("cleaner: drop_oldest never takes the newest segment: then reception stops", async () => {
  await withBench({ whenFull: "drop_oldest" }, async (bench) => {
    await bench.store(5);
    bench.freeBytes = 100 * MiB;
    await bench.cleaner.round();
    await bench.cleaner.round();
    assert.equal(bench.names().length, 1);
    assert.match(bench.cleaner.fullReason()!, /min_free/);
    assert.deepEqual(bench.alarms(), ["disk_low"]);
  });
});

Deno.test("cleaner: drop_oldest takes only as much as the disk lacks", async () => {
  await withBench({ whenFull: "drop_oldest" }, async (bench) => {
    await bench.store(9);
    bench.freeBytes = 509 * MiB;
    await bench.cleaner.round();
    assert.equal(bench.spool.oldestSequence(), 5);
  });
});

Deno.test("cleaner: what is written between two looks at the disk counts as gone from its free space", async () => {
  await withBench({}, async (bench) => {
    bench.freeBytes = 514 * MiB;
    await bench.cleaner.round();
    assert.equal(bench.cleaner.fullReason(), undefined);
    await bench.store(3);
    assert.match(bench.cleaner.fullReason()!, /min_free/);
    bench.freeBytes = 512 * MiB + 40 * MiB;
    await bench.cleaner.round();
    assert.equal(bench.cleaner.fullReason(), undefined);
  });
});

Deno.test("cleaner: changed limits hold at once", async () => {
  await withBench({}, async (bench) => {
    await bench.store(12);
    assert.notEqual(bench.cleaner.fullReason(), undefined);
    bench.cleaner.reload({ ...bench.settings, maxSizeBytes: 64 * MiB });
    assert.equal(bench.cleaner.fullReason(), undefined);
    bench.cleaner.reload({ ...bench.settings, maxSizeBytes: 16 * MiB, whenFull: "drop_oldest" });
    await bench.cleaner.round();
    assert.equal(bench.spool.oldestSequence(), 3);
  });
});

Deno.test("cleaner: a segment that can't be removed is an alarm, and is tried again", async () => {
  let refuses = true;
  const unlink = (path: string) => {
    if (refuses) throw Object.assign(new Error("Read-only file system"), { code: "EROFS" });
    realFiles.unlink(path);
  };
  await withBench({ whenFull: "drop_oldest" }, async (bench) => {
    await bench.store(12);
    await bench.cleaner.round();
    await bench.cleaner.round();
    assert.ok(bench.alarms().includes("cleaner_failed"));
    assert.equal(bench.log.lines.filter((line) => line.level === "error").length, 1, "said once");
    assert.notEqual(bench.cleaner.fullReason(), undefined, "max_size holds when nothing can be dropped");
    refuses = false;
    await bench.cleaner.round();
    assert.ok(!bench.alarms().includes("cleaner_failed"));
    assert.equal(bench.spool.oldestSequence(), 3);
  }, { unlink });
});

Deno.test("cleaner: status says how fast the spool grows and how long it lasts", async () => {
  await withBench({ maxSizeBytes: 1024 * MiB }, async (bench) => {
    await bench.cleaner.round();
    assert.equal(bench.cleaner.status().lastsMs, undefined);
    for (let second = 0; second < 30; second++) {
      await bench.store(1);
      bench.confirmed = [bench.spool.nextSequence()];
      await bench.clock.advance(1_000);
      await bench.cleaner.round();
    }
    const { bytesPerS, lastsMs, sizeBytes } = bench.cleaner.status();
    assert.ok(
      bytesPerS > 0.9 * MiB && bytesPerS < 1.1 * MiB,
      `what is removed meanwhile counts, too: ${bytesPerS}`,
    );
    const roomMiB = (sizeMarks(bench.settings).fullBytes - sizeBytes) / MiB;
    assert.ok(Math.abs(lastsMs! / 1_000 - roomMiB) < roomMiB * 0.1);
  });
});

Deno.test("cleaner: the reserve is made again only when there is room", async () => {
  await withBench({}, async (bench) => {
    bench.freeBytes = 512 * MiB;
    await bench.cleaner.round();
    assert.equal(bench.restored, 0);
    bench.freeBytes = plenty;
    await bench.cleaner.round();
    assert.equal(bench.restored, 1);
    bench.reserveFails = true;
    await bench.cleaner.round(); // no reason to end
    assert.equal(bench.restored, 2);
  });
});
