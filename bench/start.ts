/** Row `start`: from exec to subscribed. */
import { nowMs } from "./pour.ts";
import { Agent } from "./receivers.ts";
import type { Scenario } from "./scenario.ts";
import { Source } from "./source.ts";

/** From before the process is made to the moment at which the broker has sent SUBACK. */
async function start(dir: string): Promise<number> {
  using source = await Source.start();
  const startMs = nowMs();
  const agent = new Agent({ dir, port: source.port, qos: 1, clientId: "bench-start" });
  try {
    return await source.subscribed() - startMs;
  } finally {
    await agent.stop();
  }
}

export function startScenarios(): Scenario[] {
  return [{
    name: "start",
    peers: [],
    figures: [{
      key: "time",
      unit: "ms",
      what: "from exec to subscribed",
      aim: { kind: "at most", value: 300, of: "ours" },
    }],
    rounds: { min: 10 },
    measure: async (_side, dir) => ({ time: await start(dir) }),
  }];
}
