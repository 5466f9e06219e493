/** Row `bulk`: encoding and sending documents against `helpers.bulk` of the official client. */
import { join } from "node:path";
import { succeed } from "../tests/lab/command.ts";
import { projectDir } from "../tests/lab/paths.ts";
import { preparedDocuments, warmUpDocuments } from "./bulk_process.ts";
import { type Amounts, type Measured, ours, type Scenario, type Side } from "./scenario.ts";
import { Sink } from "./sink.ts";

/** Runs one side in a process of its own, from source on both sides. */
async function runProcess(side: Side, sink: Sink, count: number, file: string): Promise<string> {
  const script = join(projectDir, "bench/bulk_process.ts");
  const args = ["run", `--lock=${join(projectDir, "deno.lock")}`, "--frozen", "--no-check", "-A", script];
  const which = side === ours ? "ours" : "peer";
  return await succeed(Deno.execPath(), [...args, which, sink.url, `${count}`, file], { cwd: projectDir });
}

async function measure(side: Side, dir: string, count: number): Promise<Measured> {
  using sink = await Sink.start();
  const file = join(dir, "documents.ndjson");
  await sink.reset(preparedDocuments);
  await runProcess(ours, sink, 0, file); // what the peer is to send: the documents that the agent makes
  const wanted = await sink.seen();
  await Deno.writeTextFile(file, wanted.kept);
  await sink.reset(preparedDocuments);
  const measured = JSON.parse(await runProcess(side, sink, count, file)) as Measured;
  const seen = await sink.seen();
  if (seen.documents !== warmUpDocuments + count) {
    throw new Error(`${seen.documents} documents came to the sink`);
  }
  if (seen.digest !== wanted.digest) throw new Error("the two sides sent different documents");
  return measured;
}

export function bulkScenarios({ messages: count }: Amounts): Scenario[] {
  return [{
    name: "bulk",
    peers: ["helpers.bulk"],
    figures: [
      {
        key: "cpu",
        unit: "us",
        what: "CPU per document",
        aim: { kind: "at most", value: 1 / 4, of: "ratio" },
      },
      { key: "rate", unit: "per s", what: "documents per second" },
    ],
    measure: (side, dir) => measure(side, dir, count),
  }];
}
