import assert from "node:assert/strict";
import { certificateBlocks, certificateEnds, lifetime } from "../../agent/base/certificate.ts";
import { certificateAgainMs, certificateLookMs, certificateSoonMs } from "../../agent/limits.ts";
import type { OutputSettings } from "../../agent/settings.ts";
import { CertificateWatch } from "../../agent/status/certificate_watch.ts";
import { certificatesInFiles, endingText } from "../../agent/status/certificates.ts";
import { FakeClock } from "../fakes/fake_clock.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { mqttSettings } from "../integration/broker_setup.ts";
import { certificates } from "../lab/certificates.ts";
import { freePort } from "../lab/ports.ts";
import { waitUntil } from "../lab/wait.ts";

const dayMs = 86_400_000;
const read = (path: string) => Deno.readTextFile(path);

/** An output with that CA; the rest does not matter here. */
function output(name: string, caPem: string | undefined): OutputSettings {
  return {
    type: "elasticsearch",
    name,
    urls: ["https://127.0.0.1:1"],
    caPem,
    apiKey: undefined,
    username: undefined,
    password: undefined,
    proxy: undefined,
    index: "x",
    dataStream: undefined,
    manageTemplate: true,
  };
}

Deno.test("certificates: each one in a file has its end, whatever stands around it, and a damaged one has none", async () => {
  const made = await certificates();
  const [server, soon] = [await read(made.server.certificate), await read(made.endsSoon.certificate)];
  const both = certificateEnds(`subject=/CN=x\n${server}\r\nmore text\n${soon}`);
  assert.equal(both.length, 2);
  for (const [i, days] of [90, 10].entries()) {
    assert.ok(Math.abs(both[i]! - Date.now() - days * dayMs) < dayMs, `${both[i]}`);
  }
  const block = certificateBlocks(server)[0]!;
  const damaged = block.replace(/\n[^\n]{10}/, "\nAAAAAAAAAA");
  assert.deepEqual(certificateEnds(damaged + soon), [both[1]]);
  assert.deepEqual([certificateEnds(""), certificateEnds("no certificate")], [[], []]);
});

Deno.test("certificates: 30 days before it ends a certificate ends soon", () => {
  const endMs = Date.UTC(2026, 5, 1, 12);
  const at = (leftMs: number) => lifetime(endMs, endMs - leftMs);
  assert.deepEqual(at(certificateSoonMs), { state: "lasts", text: "lasts 30 days, until 2026-06-01" });
  assert.deepEqual(at(certificateSoonMs - 1), {
    state: "ends soon",
    text: "lasts 29 days, until 2026-06-01",
  });
  assert.deepEqual(at(dayMs), { state: "ends soon", text: "lasts 1 day, until 2026-06-01" });
  assert.deepEqual(at(0), { state: "ends soon", text: "lasts 0 days, until 2026-06-01" });
  assert.deepEqual(at(-1), { state: "has ended", text: "ended on 2026-06-01" });
});

Deno.test("certificates: of a CA file the longest counts, of a client's chain the shortest, and a pin needs no CA", async () => {
  const made = await certificates();
  const [server, soon] = [await read(made.server.certificate), await read(made.endsSoon.certificate)];
  const pair = server + soon;
  const mqtt = mqttSettings({ caPem: pair, certificatePem: pair });
  const outputs = [output("cloud", pair), output("public", undefined)];
  const daysOf = (found: { endMs: number }[]) =>
    found.map(({ endMs }) => Math.round((endMs - Date.now()) / dayMs));
  const found = certificatesInFiles({ mqtt, outputs });
  assert.deepEqual(found.map((one) => [one.output, one.name]), [
    [undefined, "the CA in mqtt.ca_file"],
    [undefined, "the certificate in mqtt.cert_file"],
    ["cloud", "the CA in ca_file of the output cloud"],
  ]);
  assert.deepEqual(daysOf(found), [90, 10, 90]);
  const pinned = mqttSettings({ caPem: soon, fingerprintSha256: "00".repeat(32) });
  assert.deepEqual(certificatesInFiles({ mqtt: pinned, outputs: [] }), []);
  assert.deepEqual(certificatesInFiles({ mqtt: mqttSettings(), outputs: [] }), []);
  assert.deepEqual(endingText(found, Date.now())!.text.match(/the [^;]* lasts/g), [
    "the certificate in mqtt.cert_file lasts",
  ]);
  assert.equal(endingText(found, Date.now() - 60 * dayMs), undefined);
  assert.match(
    endingText(found, Date.now() + 200 * dayMs)!.text,
    /ca_file ended on .*; .*cert_file ended on /,
  );
});

/** Shows this certificate at a port of its own, and counts who looks. */
class Server implements AsyncDisposable {
  looks = 0;
  readonly #listener: Deno.TlsListener;
  readonly #serving: Promise<void>;

  constructor(cert: string, key: string, readonly port = freePort()) {
    this.#listener = Deno.listenTls({ hostname: "127.0.0.1", port, cert, key });
    this.#serving = this.#serve();
  }
  async #serve(): Promise<void> {
    for await (const connection of this.#listener) {
      this.looks++;
      await connection.handshake().catch(() => {});
      await connection.read(new Uint8Array(1)).catch(() => {});
      connection.close();
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
  }
}

Deno.test("certificates: the broker's own is looked at when the agent starts and every day, and its end raises an alarm", async () => {
  const made = await certificates();
  await using server = new Server(await read(made.server.certificate), await read(made.server.key));
  const clock = new FakeClock(Date.now());
  const log = new MemoryLog();
  const stop = new AbortController();
  const broker = { hostname: "127.0.0.1", port: server.port };
  const watch = new CertificateWatch({ settings: { mqtt: mqttSettings(), outputs: [] }, broker, clock, log });
  assert.deepEqual(watch.alarms(), []);
  const running = watch.run(stop.signal);
  const seen = (looks: number) =>
    waitUntil(async () => (await clock.settle(), server.looks === looks), 20_000, `look ${looks}`);
  await seen(1);
  clock.stepWall(Date.now() + 70 * dayMs);
  await waitUntil(() => watch.alarms().length === 1, 20_000, "the certificate to have been seen");
  const alarm = watch.alarms()[0]!;
  assert.equal(alarm.code, "certificate_ends");
  assert.match(alarm.text, /^the broker's certificate lasts (19|20) days, until /);
  clock.stepWall(Date.now());
  assert.deepEqual(watch.alarms(), [], "a clock that was wrong is judged by what it says now");
  await clock.advance(certificateLookMs - 1_000);
  assert.equal(server.looks, 1);
  clock.stepWall(Date.now() + 70 * dayMs);
  await clock.advance(1_000);
  await seen(2);
  await waitUntil(() => /A certificate ends soon/.test(log.text), 20_000, "the log");
  stop.abort();
  await running;
});

Deno.test("certificates: a broker that can't be looked at is no alarm, and is looked at again after an hour", async () => {
  const made = await certificates();
  const port = freePort();
  const [clock, stop] = [new FakeClock(Date.now()), new AbortController()];
  const broker = { hostname: "127.0.0.1", port };
  const settings = { mqtt: mqttSettings({ caPem: await read(made.ca.certificate) }), outputs: [] };
  const watch = new CertificateWatch({ settings, broker, clock, log: new MemoryLog() });
  const running = watch.run(stop.signal);
  for (let i = 0; i < 3; i++) {
    await waitUntil(() => clock.sleepers === 1, 20_000, "the next look to be waited for");
    await clock.advance(certificateAgainMs);
  }
  assert.deepEqual(watch.alarms(), []);
  await waitUntil(() => clock.sleepers === 1, 20_000, "the next look to be waited for");
  await using _server = new Server(
    await read(made.endsSoon.certificate),
    await read(made.endsSoon.key),
    port,
  );
  await clock.advance(certificateAgainMs);
  const alarmed = () => watch.alarms().some(({ text }) => /the broker's certificate lasts/.test(text));
  await waitUntil(alarmed, 20_000, "the alarm");
  stop.abort();
  await running;
});

Deno.test("certificates: a server that never ends its handshake holds nothing up, and is not asked without end", async () => {
  await using silent = new SilentServer();
  const clock = new FakeClock(Date.now());
  const broker = { hostname: "127.0.0.1", port: silent.port };
  for (let i = 0; i < 5; i++) {
    const stop = new AbortController();
    const settings = { mqtt: mqttSettings(), outputs: [] };
    const running = new CertificateWatch({ settings, broker, clock, log: new MemoryLog() }).run(stop.signal);
    if (i < 2) await waitUntil(() => silent.greeted === i + 1, 20_000, "a handshake begun");
    else await waitUntil(() => clock.sleepers === 1, 20_000, "the look given up at once");
    stop.abort();
    await running;
  }
  assert.equal(silent.connections.length, 2, "two that hang are enough");
});

/** Takes connections, reads what comes first, and says nothing. */
class SilentServer implements AsyncDisposable {
  readonly connections: Deno.Conn[] = [];
  greeted = 0;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #serving = this.#serve();
  readonly port = (this.#listener.addr as Deno.NetAddr).port;

  async #serve(): Promise<void> {
    for await (const connection of this.#listener) {
      this.connections.push(connection);
      if (await connection.read(new Uint8Array(1)) !== null) this.greeted++;
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.connections) connection.close();
    await this.#serving;
  }
}
