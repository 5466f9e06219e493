/** Dead letters that are sent again, because what made the output refuse them has been mended. */
import type { Clock } from "../base/clock.ts";
import { OperationError, reasonOf } from "../base/errors.ts";
import { bulkBytesMax, bulkDocumentsMax } from "../limits.ts";
import type { ReplayResult } from "../status/agent_api.ts";
import { type DeadLetter, letterToOutgoing } from "./dead_letter.ts";
import type { Delivery } from "./delivery.ts";
import type { OutputState } from "./output_progress.ts";

/** All letters of an output in order, read from the file one at a time. */
export function* allLetters(state: OutputState): Generator<DeadLetter> {
  for (const sequence of state.deadSequences()) {
    const letter = state.letters.read(sequence);
    if (letter !== undefined) yield letter;
  }
}

/** Sequences of the letters with these ids, or of all. Throws OperationError for an id that none has. */
export function chosenSequences(state: OutputState, ids: readonly string[] | undefined): number[] {
  return ids === undefined ? state.deadSequences() : ids.map((id) => sequenceOf(state, id));
}

function sequenceOf(state: OutputState, id: string): number {
  const sequence = Number(id.slice(id.lastIndexOf("-") + 1));
  if (sequence < state.nextSequence && state.letters.read(sequence)?.id === id) return sequence;
  throw new OperationError({
    operation: "find a dead letter",
    place: `output ${state.name}`,
    cause: `there is none with the id ${id}`,
    remedy: "see the ids with `dead ls`",
  });
}

/**
 * Sends dead letters again, in order and in batches. What arrives is confirmed; what is refused stays, with the new
 * reason. Never throws for an output that does not answer: the result says so. Throws OperationError for an unknown id.
 */
export async function replay(
  state: OutputState,
  delivery: Pick<Delivery, "sendOnce">,
  clock: Pick<Clock, "wallMs">,
  ids: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<ReplayResult> {
  const sequences = chosenSequences(state, ids);
  const result: ReplayResult = { replayed: 0, refused: 0 };
  try {
    for (const batch of batches(state, sequences)) {
      if (signal.aborted) return { reason: "stopped", ...result };
      await replayBatch(state, delivery, clock, batch, signal, result);
    }
    return result;
  } catch (error) {
    return { ...result, reason: reasonOf(error) };
  }
}

async function replayBatch(
  state: OutputState,
  delivery: Pick<Delivery, "sendOnce">,
  clock: Pick<Clock, "wallMs">,
  letters: DeadLetter[],
  signal: AbortSignal,
  result: ReplayResult,
): Promise<void> {
  const verdicts = await delivery.sendOnce(letters.map(letterToOutgoing), signal);
  const arrived: number[] = [];
  const refused: DeadLetter[] = [];
  for (const [at, letter] of letters.entries()) {
    const verdict = verdicts[at]!;
    if (verdict.kind === "confirmed") {
      arrived.push(letter.sequence);
      continue;
    }
    result.reason ??= verdict.reason;
    const status = verdict.status ?? letter.status;
    refused.push({ ...letter, atMs: clock.wallMs(), status, reason: verdict.reason });
  }
  result.replayed += await state.confirmDead(arrived);
  result.refused += refused.length;
  if (refused.length > 0) await state.bury(refused);
}

/** Letters in batches that an output takes at once; one batch at a time is in memory. */
function* batches(state: OutputState, sequences: readonly number[]): Generator<DeadLetter[]> {
  let batch: DeadLetter[] = [];
  let bytes = 0;
  for (const sequence of sequences) {
    const letter = state.letters.read(sequence);
    if (letter === undefined) continue;
    if (
      batch.length >= bulkDocumentsMax || (batch.length > 0 && bytes + letter.record.length > bulkBytesMax)
    ) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(letter);
    bytes += letter.record.length;
  }
  if (batch.length > 0) yield batch;
}
