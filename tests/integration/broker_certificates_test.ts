import assert from "node:assert/strict";
import { join } from "node:path";
import { issueBroker, makeAuthority, type Pair, readCertificate } from "../../installer/broker/pki.ts";
import { shownSha256, untilShown } from "../../installer/broker/shown.ts";
import { type Machine, realMachine } from "../../installer/machine.ts";
import { type PairStep, replacePair } from "../../installer/pair.ts";
import { succeed } from "../lab/command.ts";
import { startMosquitto } from "../lab/mosquitto.ts";
import { makeLabDir } from "../lab/paths.ts";
import { Publisher } from "../lab/publisher.ts";

const now = new Date();
const ca = await makeAuthority("lab", now);
const [first, second] = [
  await issueBroker(ca, ["localhost", "127.0.0.1"], { now }),
  await issueBroker(ca, ["localhost", "127.0.0.1"], { now }),
];
const [owner, group] = (await Promise.all([["-un"], ["-gn"]].map((args) => succeed("id", args)))).map((
  name,
) => name.trim());
const sha256 = (pair: Pair) => readCertificate(pair.certificatePem).sha256;

interface Place {
  certificate: string;
  key: string;
}

async function place(): Promise<Place & AsyncDisposable> {
  const dir = await makeLabDir("certificates");
  const at = { certificate: join(dir, "broker.crt"), key: join(dir, "broker.key") };
  await Deno.writeTextFile(join(dir, "ca.crt"), ca.certificatePem);
  return { ...at, [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }) };
}

function step({ certificate, key }: Place, pair: Pair): PairStep & { id: string; what: string } {
  const access = { mode: 0o600, owner: owner!, group: group! };
  return {
    ...{ kind: "pair", id: "pair", what: "a pair" },
    certificate: { path: certificate, content: pair.certificatePem, access },
    key: { path: key, content: pair.privateKeyPem, access },
  };
}

const machine = realMachine(undefined, {
  run: () => Promise.reject(new Error("no program")),
  start: () => Promise.reject(new Error("no unit")),
});

/** The same machine, which stops before its n-th change. */
function stoppingAt(change: number): Machine {
  let count = 0;
  return new Proxy(machine, {
    get(target, name: keyof Machine) {
      const member = target[name];
      if (name !== "write" && name !== "link") {
        return typeof member === "function" ? member.bind(target) : member;
      }
      return (...args: never[]) => {
        if (++count === change) throw new Error("stopped");
        return (member as (...args: never[]) => Promise<void>).apply(target, args);
      };
    },
  });
}

Deno.test("a pair that is replaced: stopped before any of its changes, a real Mosquitto starts with what is there", async () => {
  const seen = new Set<string>();
  for (let change = 1, whole = false; !whole; change++) {
    await using at = await place();
    await replacePair(machine, step(at, first));
    whole = await replacePair(stoppingAt(change), step(at, second)).then(() => true, () => false);
    await using broker = await startMosquitto({ tls: at, persistence: false });
    const shown = await shownSha256({ hostname: broker.hostname, port: broker.port });
    assert.equal(
      [sha256(first), sha256(second)].includes(shown!),
      true,
      `before change ${change}: ${broker.log}`,
    );
    seen.add(shown!);
    if (whole) assert.equal(shown, sha256(second));
    for (const path of [at.certificate, at.key]) assert.equal((await Deno.stat(path)).mode! & 0o077, 0);
  }
  assert.equal(seen.size, 2);
});

Deno.test("a reload makes Mosquitto show its new certificate and key; whoever is connected stays so", async () => {
  await using at = await place();
  await replacePair(machine, step(at, first));
  await using broker = await startMosquitto({ tls: at, persistence: false });
  const listener = { hostname: broker.hostname, port: broker.port };
  const caFile = join(at.certificate, "../ca.crt");
  const message = { topic: "t", payload: "1", qos: 1 as const };
  await using before = await Publisher.connect({ ...listener, caFile });
  await before.publish([message]);
  await replacePair(machine, step(at, second));
  assert.equal(await shownSha256(listener), sha256(first), "nobody has told it yet");
  broker.reload();
  await untilShown(listener, sha256(second), new AbortController().signal);
  await before.publish([message]);
  await using behind = await Publisher.connect({ ...listener, caFile });
  await behind.publish([message]);
  assert.equal(before.taken, 2);
});

Deno.test("a broker that goes on to show its old certificate is noticed", async () => {
  await using at = await place();
  await replacePair(machine, step(at, first));
  await using broker = await startMosquitto({ tls: at, persistence: false });
  const listener = { hostname: broker.hostname, port: broker.port };
  const gone = AbortSignal.abort();
  await assert.rejects(untilShown(listener, sha256(second), gone), /shows another one, with SHA-256/);
  await broker.kill();
  await assert.rejects(untilShown(listener, sha256(second), gone), /it shows none.*systemctl restart/s);
});
