import assert from "node:assert/strict";
import { renderStatus, wantsAttention } from "../../agent/status/render_status.ts";
import type { Snapshot, SubscriberStatus } from "../../agent/status/snapshot.ts";
import { wellSnapshot } from "../fakes/snapshot.ts";

/** As the agent's own broker reports. */
function own(part: Partial<SubscriberStatus>): Snapshot {
  const { connectedSinceMs: _1, lastConnectedMs: _2, sessionPresent: _3, clientId: _4, ...rest } =
    wellSnapshot.subscriber;
  const filters = [{ filter: "hall/#", granted: 2 as const }, { filter: "yard", granted: 2 as const }];
  const subscriber = {
    ...rest,
    state: "listening" as const,
    url: "mqtt://127.0.0.1:1883",
    clients: 3,
    filters,
  };
  return { ...wellSnapshot, subscriber: { ...subscriber, ...part } };
}
const flat = (snapshot: Snapshot) =>
  renderStatus(snapshot, { columns: 80, colour: false }).join("\n").replace(/\s+/g, " ");

Deno.test("status: the agent's own broker shows where it listens, how many are connected and what is stored", () => {
  assert.match(
    flat(own({})),
    /broker listening, mqtt:\/\/127\.0\.0\.1:1883 the agent's own broker, 3 clients connected; stored: hall\/#, yard/,
  );
  assert.match(flat(own({ clients: 1 })), /1 client connected/);
  assert.doesNotMatch(flat(own({})), /subscribed to|client id/);
  assert.ok(!wantsAttention(own({})));
});

Deno.test("status: the agent's own broker that pauses says why, and wants attention", () => {
  const paused = own({ state: "paused", reason: "spool full: 2.0 GiB of 2.0 GiB" });
  assert.match(flat(paused), /broker paused: spool full: 2\.0 GiB of 2\.0 GiB, mqtt:\/\/127/);
  assert.ok(wantsAttention(paused));
});
