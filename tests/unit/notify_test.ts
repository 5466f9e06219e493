import assert from "node:assert/strict";
import { join } from "node:path";
import { Notifier } from "../../agent/base/notify.ts";
import { waitUntil } from "../lab/wait.ts";

const environment = (variables: Record<string, string>) => ({ get: (name: string) => variables[name] });

/** What a service manager receives at a path. */
async function manager(): Promise<{ path: string; received: string[]; close: () => Promise<void> }> {
  const dir = await Deno.makeTempDir();
  const path = join(dir, "notify");
  const socket = Deno.listenDatagram({ transport: "unixpacket", path });
  const received: string[] = [];
  const ended = (async () => {
    for await (const [bytes] of socket) received.push(new TextDecoder().decode(bytes));
  })();
  return {
    path,
    received,
    async close() {
      socket.close();
      await ended;
      await Deno.remove(dir, { recursive: true });
    },
  };
}

Deno.test("notify: systemd hears of readiness, status, reload and the end, in order", async () => {
  const systemd = await manager();
  const notifier = new Notifier(environment({ NOTIFY_SOCKET: systemd.path }));
  notifier.ready();
  notifier.status("connected\nREADY=1");
  notifier.status("connected READY=1");
  notifier.reloading();
  notifier.status("paused: spool full");
  notifier.stopping();
  await waitUntil(() => systemd.received.length >= 5, 5_000, "five messages");
  const reload = systemd.received.splice(2, 1)[0];
  assert.match(reload!, /^RELOADING=1\nMONOTONIC_USEC=\d{5,}$/);
  assert.deepEqual(systemd.received, [
    "READY=1",
    "STATUS=connected READY=1",
    "STATUS=paused: spool full",
    "STOPPING=1",
  ]);
  await systemd.close();
});

Deno.test("notify: the watchdog is told twice per interval while the agent lives, and not when it is for another", async () => {
  const systemd = await manager();
  let lives = true;
  const variables = { NOTIFY_SOCKET: systemd.path, WATCHDOG_USEC: "40000" };
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
  await systemd.close();
});

Deno.test("notify: names of the abstract namespace work", () => {
  const name = `sensorlog-test-${Deno.pid}-${crypto.randomUUID()}`;
  const library = Deno.dlopen("libc.so.6", {
    socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
    bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
    close: { parameters: ["i32"], result: "i32" },
  });
  const socket = library.symbols.socket(1, 2, 0);
  const address = new TextEncoder().encode(`\x01\x00\x00${name}`);
  assert.equal(library.symbols.bind(socket, address, address.length), 0);
  new Notifier(environment({ NOTIFY_SOCKET: `@${name}` })).ready();
  const bytes = new Uint8Array(100);
  const dontWait = 0x40;
  const length = Number(library.symbols.recv(socket, bytes, 100n, dontWait));
  library.symbols.close(socket);
  library.close();
  assert.equal(new TextDecoder().decode(bytes.subarray(0, Math.max(length, 0))), "READY=1");
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
