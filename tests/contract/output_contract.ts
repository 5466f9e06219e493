/**
 * What every output promises, as one suite: `testOutput` is called for each with a way to make it, to look at what has
 * arrived, and to take its destination away and bring it back.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { OperationError } from "../../agent/base/errors.ts";
import { bulkDocumentsMax, payloadBytesMax } from "../../agent/limits.ts";
import type { Outgoing, Output, Verdict } from "../../agent/shipper/output.ts";
import { recordId } from "../../agent/spool/spool_types.ts";
import { hostileOutgoing } from "../unit/document_generated.ts";
import { makeOutgoing } from "../unit/shipper_fixture.ts";

/** One destination, empty at first. */
export interface Destination {
  /** Another instance over the same destination, as after a restart of the agent. */
  make(): Output;
  /** The index pattern, data stream or folder that readings are addressed to. */
  target: string;
  /** Ids of the readings that are there, each as often as it is there. */
  arrived(): Promise<string[]>;
  /** Nothing answers any more. */
  down(): Promise<void>;
  up(): Promise<void>;
  /** A payload that the destination refuses for its own fault at present; undefined where there is no such thing. */
  refused: string | undefined;
  end(): Promise<void>;
}

const signal = new AbortController().signal;

/** Readings of a segment of this suite, with sequences from `from` on. */
function readings(destination: Destination, from: number, payloads: string[]): Outgoing[] {
  return payloads.map((payload, at) =>
    makeOutgoing({ payload, sequence: from + at }, { target: destination.target })
  );
}
const idsOf = (batch: Outgoing[]) => batch.map((one) => recordId(one.reading));
const kinds = (verdicts: Verdict[]) => verdicts.map((verdict) => verdict.kind);
const all = (kind: Verdict["kind"], batch: Outgoing[]) => batch.map(() => kind);

async function assertThereOnce(destination: Destination, ids: string[]): Promise<void> {
  const there = await destination.arrived();
  for (const id of ids) assert.equal(there.filter((one) => one === id).length, 1, id);
}

/** Runs the whole suite. `open` is called once. */
export function testOutput(name: string, open: () => Promise<Destination>): void {
  Deno.test(`output contract: ${name}`, async (context) => {
    const destination = await open();
    const step = (promise: string, work: (output: Output) => Promise<void>) =>
      context.step(promise, async () => {
        const output = destination.make();
        try {
          await output.prepare(signal);
          await work(output);
        } finally {
          await output.close();
        }
      });
    try {
      await testDelivery(destination, step);
      await testRefusals(destination, step);
      await testAbsence(destination, step, context);
    } finally {
      await destination.end();
    }
  });
}

type Step = (promise: string, work: (output: Output) => Promise<void>) => Promise<boolean>;

async function testDelivery(destination: Destination, step: Step): Promise<void> {
  await step(
    "confirmed readings are there under their ids, one verdict for each in order",
    async (output) => {
      const batch = readings(destination, 1, ["1", "text", '{"a":1}', ""]);
      assert.deepEqual(kinds(await output.send(batch, signal)), all("confirmed", batch));
      await assertThereOnce(destination, idsOf(batch));
    },
  );

  await step("what is sent again, by another instance too, is confirmed and there once", async (output) => {
    const batch = readings(destination, 1, ["1", "text", '{"a":1}', "", "new"]);
    assert.deepEqual(kinds(await output.send(batch, signal)), all("confirmed", batch));
    assert.deepEqual(kinds(await output.send(batch, signal)), all("confirmed", batch));
    await assertThereOnce(destination, idsOf(batch));
  });

  await step("a full batch and the largest payloads are taken", async (output) => {
    const batch = readings(
      destination,
      1_000,
      Array.from({ length: bulkDocumentsMax }, (_, at) => String(at)),
    );
    assert.deepEqual(kinds(await output.send(batch, signal)), all("confirmed", batch));
    const large = readings(
      destination,
      5_000,
      ["x", "y", "z"].map((letter) => letter.repeat(payloadBytesMax)),
    );
    assert.deepEqual(kinds(await output.send(large, signal)), all("confirmed", large));
    await assertThereOnce(destination, idsOf(large));
  });

  await step(
    "no reading, whatever it is, goes without a verdict or keeps others from arriving",
    async (output) => {
      const batch = fc.sample(hostileOutgoing, { numRuns: 100, seed: Date.now() % 2 ** 31 }).map((
        one,
        at,
      ) => ({
        ...one,
        target: destination.target,
        reading: { ...one.reading, sequence: 6_000 + at },
      }));
      const verdicts = await output.send(batch, signal);
      assert.equal(verdicts.length, batch.length);
      await assertThereOnce(destination, idsOf(batch.filter((_, at) => verdicts[at]!.kind === "confirmed")));
      assert.ok(verdicts.every(({ kind }) => kind === "confirmed" || kind === "dead"));
    },
  );

  await step("an empty batch has no verdicts", async (output) => {
    assert.deepEqual(await output.send([], signal), []);
  });
}

async function testRefusals(destination: Destination, step: Step): Promise<void> {
  const { refused } = destination;
  if (refused === undefined) return;
  await step(
    "a reading that is to blame itself is dead with a reason, the others are confirmed",
    async (output) => {
      const batch = readings(destination, 7_000, ["1", refused, "2", refused, "3"]);
      const verdicts = await output.send(batch, signal);
      assert.deepEqual(kinds(verdicts), ["confirmed", "dead", "confirmed", "dead", "confirmed"]);
      const verdict = verdicts[1]!;
      assert.ok(verdict.kind === "dead" && verdict.reason.length > 10);
      await assertThereOnce(destination, idsOf([batch[0]!, batch[2]!, batch[4]!]));
      assert.ok(!(await destination.arrived()).includes(idsOf(batch)[1]!));
    },
  );
}

async function testAbsence(destination: Destination, step: Step, context: Deno.TestContext): Promise<void> {
  await step(
    "where nothing answers, it says why and that it may pass; when it answers again, all arrives once",
    async (output) => {
      const batch = readings(destination, 8_000, ["1", "2"]);
      await destination.down();
      await assert.rejects(output.send(batch, signal), (error) => {
        return error instanceof OperationError && error.retryable && error.reason.length > 5;
      });
      await assert.rejects(output.prepare(signal), OperationError);
      const [finding] = await output.examine(signal);
      assert.ok(finding?.level === "failure" && (finding.remedy ?? "").length > 5);
      await destination.up();
      await output.prepare(signal);
      assert.deepEqual(kinds(await output.send(batch, signal)), all("confirmed", batch));
      await assertThereOnce(destination, idsOf(batch));
    },
  );

  await step("told to stop, it stops", async (output) => {
    const stopped = new AbortController();
    stopped.abort();
    await assert.rejects(output.send(readings(destination, 8_100, ["1"]), stopped.signal));
    const stopping = new AbortController();
    const sending = output.send(readings(destination, 8_200, ["1"]), stopping.signal);
    stopping.abort();
    await sending.catch((error) => assert.ok(error instanceof Error));
  });

  await step("check finds nothing wrong when all is well", async (output) => {
    const findings = await output.examine(signal);
    assert.ok(findings.length > 0);
    assert.deepEqual(findings.filter((finding) => finding.level !== "ok"), []);
    assert.deepEqual(output.alarms(), []);
  });

  await context.step("its place names no user and no password", () => {
    const { name, type, place } = destination.make();
    assert.ok(name.length > 0 && type.length > 0 && place.length > 0);
    assert.doesNotMatch(place, /pass-word|@/);
  });
}
