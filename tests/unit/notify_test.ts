import assert from "node:assert/strict";
import { join } from "node:path";
import { Notifier } from "../../agent/base/notify.ts";
import { ServiceManager } from "../lab/service_manager.ts";
import { waitUntil } from "../lab/wait.ts";

const environment = (variables: Record<string, string>) => ({ get: (name: string) => variables[name] });

const somePath = () => join(Deno.env.get("TMPDIR") ?? "/tmp", `sensorlog-notify-${crypto.randomUUID()}`);

Deno.test("notify: systemd hears of readiness, status, reload and the end, in order", () => {
  for (const name of [somePath(), `@sensorlog-notify-${crypto.randomUUID()}`]) {
    using systemd = new ServiceManager(name);
    const notifier = new Notifier(environment({ NOTIFY_SOCKET: name }));
    notifier.ready();
    notifier.status("connected\nREADY=1");
    notifier.status("connected READY=1");
    notifier.reloading();
    notifier.status("paused: spool full");
    notifier.stopping();
    const received = [...systemd.received];
    assert.match(received.splice(2, 1)[0]!, /^RELOADING=1\nMONOTONIC_USEC=\d{5,}$/);
    assert.deepEqual(received, [
      "READY=1",
      "STATUS=connected READY=1",
      "STATUS=paused: spool full",
      "STOPPING=1",
    ]);
  }
});

Deno.test("notify: the watchdog is told twice per interval while the agent lives, and not when it is for another", async () => {
  using systemd = new ServiceManager(somePath());
  let lives = true;
  const variables = { NOTIFY_SOCKET: systemd.name, WATCHDOG_USEC: "40000" };
  const notifier = new Notifier(environment({ ...variables, WATCHDOG_PID: "77" }), 77);
  notifier.watch(() => lives);
  await waitUntil(() => systemd.received.length >= 3, 5_000, "three signs of life");
  lives = false;
  const other = new Notifier(environment({ ...variables, WATCHDOG_PID: "78" }), 77);
  other.watch(() => true);
  const count = systemd.received.length;
  await new Promise((done) => setTimeout(done, 100));
  assert.ok(systemd.received.length <= count + 1);
  assert.ok(systemd.received.every((text) => text === "WATCHDOG=1"));
  notifier.close();
  other.close();
});

Deno.test("notify: without a manager, or with one that is gone, nothing happens", () => {
  for (const name of [undefined, "", "relative", "/nowhere/notify", `@${"x".repeat(200)}`, "vsock:2:1"]) {
    const notifier = new Notifier(environment(name === undefined ? {} : { NOTIFY_SOCKET: name }));
    notifier.ready();
    notifier.status("fine");
    notifier.watch(() => true);
    notifier.stopping();
  }
});
