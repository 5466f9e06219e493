/** `BrokerFigures` in memory, over a `session.json` that is lost at the end. */
import { Alarms } from "../../agent/base/alarms.ts";
import { BrokerFigures } from "../../agent/subscriber/broker_figures.ts";
import { Remembered } from "../../agent/subscriber/remembered.ts";
import { FakeClock } from "./fake_clock.ts";
import { FakeFiles } from "./fake_files.ts";
import { MemoryLog } from "./memory_log.ts";

/** For an agent whose only filter is `#`. */
export function makeFigures(): BrokerFigures {
  const [clock, log] = [new FakeClock(), new MemoryLog()];
  const remembered = Remembered.open(new FakeFiles(), "/session.json", log);
  return new BrokerFigures({ remembered, clock, log, alarms: new Alarms(clock) }, ["#"]);
}
