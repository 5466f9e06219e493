/** Rows `end-to-end.disk` and `end-to-end.kill`: what it costs to lose nothing, and what is lost. */
import { delay, waitUntil } from "../tests/lab/wait.ts";
import { succeed } from "../tests/lab/command.ts";
import { lostAndDoubled } from "./arrivals.ts";
import { killChain, preparePeers, rsyslog, rsyslogDisk, telegraf, telegrafDisk, wordsOf } from "./chains.ts";
import { type EndToEndAmounts, observe, paced, type Phase, say, withChain } from "./end_to_end.ts";
import { deviceWrittenBytes } from "./machine.ts";
import { nowMs } from "./pour.ts";
import { publish } from "./publisher.ts";
import { RealIndex } from "./real_index.ts";
import type { Figure, Measured, Scenario, Side } from "./scenario.ts";
import { Sink } from "./sink.ts";

/** Nothing more is expected when nothing came for so long: with readings missing, and with all there. */
const quietMissingMs = 10_000;
const quietWholeMs = 4_000;

/** What the device has written by the time that nothing waits in memory; undefined when it has no counter. */
async function deviceBytes(dir: string): Promise<number | undefined> {
  await succeed("sync", []);
  return deviceWrittenBytes(dir);
}

async function disk(side: Side, dir: string, phases: Phase[]): Promise<Measured> {
  using sink = await Sink.start();
  await sink.note(phases.reduce((sum, { count }) => sum + count, 0));
  return await withChain(side, dir, sink, async (scene) => {
    const measured: Measured = {};
    let from = 0;
    for (const phase of phases) {
      const before = await deviceBytes(dir);
      Object.assign(measured, await observe(scene, phase, from));
      const after = await deviceBytes(dir);
      if (before !== undefined && after !== undefined) {
        measured[`${phase.key}.device`] = (after - before) / phase.count;
      }
      from += phase.count;
    }
    return measured;
  });
}

function diskFigures({ key }: Phase, withDevice: boolean): Figure[] {
  const written = {
    key: `${key}.written`,
    unit: "B",
    what: `written per reading at ${key}, by its processes`,
  } as const;
  if (!withDevice) return [written];
  return [written, {
    key: `${key}.device`,
    unit: "B",
    what: `written per reading at ${key}, by the whole machine`,
  }];
}

/** kill -9 to the whole chain when a third is indexed, and a start at once; the publisher goes on meanwhile. */
async function kill(side: Side, dir: string, count: number, upstream?: string): Promise<Measured> {
  using sink = await Sink.start();
  await sink.note(count, upstream);
  return await withChain(side, dir, sink, async ({ chain, broker }) => {
    const explain = () => wordsOf(chain);
    const order = { qos: 1, count, window: 1_000, perS: undefined, numberedFrom: 0 } as const;
    const publishing = publish(broker.port, order);
    publishing.catch(() => {}); // told below
    const third = async () => (await sink.seen()).distinct >= count / 3;
    await waitUntil(third, 60_000, "a third to be indexed", { everyMs: 2, explain });
    await killChain(chain);
    await chain.start();
    await publishing;
    await quiet(sink, count);
    return lostAndDoubled((await sink.arrived()).documents);
  });
}

/** Waits until nothing more comes. */
async function quiet(sink: Sink, count: number): Promise<void> {
  let before = -1;
  let sinceMs = nowMs();
  while (true) {
    const { documents, distinct } = await sink.seen();
    if (documents !== before) sinceMs = nowMs();
    before = documents;
    if (nowMs() - sinceMs > (distinct < count ? quietMissingMs : quietWholeMs)) return;
    await delay(50);
  }
}

const none = { kind: "at most", value: 0, of: "ours" } as const;

export function durabilityScenarios({ messages, seconds }: EndToEndAmounts): Scenario[] {
  const phases = [paced(1, seconds), paced(10, seconds), paced(1_000, Math.min(10, seconds))];
  const withDevice = deviceWrittenBytes(Deno.env.get("TMPDIR") ?? "/var/tmp") !== undefined;
  const onDisk = [rsyslogDisk, telegrafDisk];
  const inMemory = [rsyslog, telegraf];
  const all = [...inMemory, ...onDisk];
  const count = Math.ceil(messages / 4);
  const index = new RealIndex();
  const killed = {
    figures: [
      { key: "lost", unit: "readings", what: "lost by a kill -9 in a flood", aim: none },
      { key: "doubled", unit: "readings", what: "doubled by it" }, // at QoS 1 what was not yet acknowledged comes again
    ] satisfies Figure[],
    rounds: { max: 2 },
  };
  return [
    {
      name: "end-to-end.disk",
      peers: onDisk,
      figures: phases.flatMap((phase) => diskFigures(phase, withDevice)),
      prepare: () => preparePeers(onDisk, say),
      measure: (side, dir) => disk(side, dir, phases),
      rounds: { max: 2 },
    },
    {
      ...killed,
      name: "end-to-end.kill.sink",
      peers: inMemory,
      prepare: () => preparePeers(inMemory, say),
      measure: (side, dir) => kill(side, dir, count),
    },
    {
      ...killed,
      name: "end-to-end.kill.elasticsearch",
      peers: all,
      prepare: () => preparePeers(all, say),
      measure: async (side, dir) => await kill(side, dir, count, await index.empty(dir)),
      finish: () => index.stop(),
    },
  ];
}
