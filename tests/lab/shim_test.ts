import assert from "node:assert/strict";
import { join } from "node:path";
import { Running } from "./process.ts";
import { type PointKind, type PointWhen, Shim } from "./shim.ts";

/** Does each kind of call once, in order, on a file of its folder, and then sends to a port. */
const program = `
const [dir, port] = Deno.args;
const lib = Deno.dlopen("libc.so.6", { adjtimex: { parameters: ["buffer"], result: "i32" } });
console.log("clock", lib.symbols.adjtimex(new Uint8Array(512)));
Deno.writeFileSync(dir + "-elsewhere", new Uint8Array(10));
const file = Deno.openSync(dir + "/a.new", { read: true, append: true, create: true });
const attempt = async (what, work) => { try { console.log(what, await work() ?? ""); } catch (error) { console.log(what, error.code); } };
await attempt("write", () => file.writeSync(new Uint8Array(100)));
await attempt("write", () => file.writeSync(new Uint8Array(100)));
await attempt("sync", () => file.syncData());
await attempt("truncate", () => file.truncateSync(150));
await attempt("rename", () => Deno.renameSync(dir + "/a.new", dir + "/a"));
const folder = Deno.openSync(dir, { read: true });
await attempt("sync folder", () => folder.sync());
await attempt("unlink", () => Deno.removeSync(dir + "/a"));
const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
await attempt("send", () => connection.write(new Uint8Array(100)));
connection.close();
`;

class Bench implements AsyncDisposable {
  readonly received: Promise<number>;
  readonly #port: number;

  private constructor(
    readonly dir: string,
    readonly shim: Shim,
    private readonly listener: Deno.TcpListener,
  ) {
    this.#port = listener.addr.port;
    this.received = this.#receive();
  }

  static async open(): Promise<Bench> {
    const dir = await Deno.makeTempDir({ prefix: "sensorlog-lab-shim-" });
    await Deno.mkdir(join(dir, "watched"));
    await Deno.writeTextFile(join(dir, "program.js"), program);
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const watch = { folder: join(dir, "watched"), ports: { broker: listener.addr.port } };
    return new Bench(dir, await Shim.create(join(dir, "control"), watch), listener);
  }

  /** Bytes of the first connection. */
  async #receive(): Promise<number> {
    let bytes = 0;
    try {
      for await (const chunk of (await this.listener.accept()).readable) bytes += chunk.length;
    } catch { /* reset by a killed process, or closed by the test */ }
    return bytes;
  }

  async run(): Promise<{ out: string; signal: string | null }> {
    const args = [
      "run",
      "-A",
      "--no-lock",
      join(this.dir, "program.js"),
      join(this.dir, "watched"),
      String(this.#port),
    ];
    const running = new Running(Deno.execPath(), args, { env: { ...this.shim.env, NO_COLOR: "1" } });
    const { signal } = await running.exit;
    return { out: running.stdout.text, signal };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.listener.close();
    await this.received;
    this.shim[Symbol.dispose]();
    await Deno.remove(this.dir, { recursive: true });
  }
}

Deno.test("shim: counts only what touches the folder and the ports, and says what the clock is", async () => {
  await using bench = await Bench.open();
  const { out, signal } = await bench.run();
  assert.equal(signal, null);
  assert.match(out, /^clock 0$/m);
  assert.deepEqual(bench.shim.counts(), {
    write: 2,
    sync: 2,
    rename: 1,
    unlink: 1,
    truncate: 1,
    create: 1,
    send: 1,
  });
  assert.equal(bench.shim.hit(), undefined);
  assert.equal(await bench.received, 100);
  bench.shim.setClockSynchronised(false);
  bench.shim.startCounting();
  bench.shim.killAt({ kinds: ["sync"], n: 1, when: "before" });
  assert.match((await bench.run()).out, /^clock 5$/m);
  assert.equal(bench.shim.counts().sync, 1);
});

/** Kind, n, when, place asked for; the point hit; the file looked at and its size then (undefined: not there). */
const kills: [PointKind, number, PointWhen, string | undefined, string, string, number | undefined][] = [
  ["create", 1, "before", undefined, "create before a.new", "a.new", undefined],
  ["create", 1, "after", undefined, "create after a.new", "a.new", 0],
  ["write", 2, "before", undefined, "write before a.new", "a.new", 100],
  ["write", 2, "half", undefined, "write half a.new", "a.new", 150],
  ["write", 2, "after", "a.new", "write after a.new", "a.new", 200],
  ["sync", 1, "after", undefined, "sync after a.new", "a.new", 200],
  ["truncate", 1, "after", undefined, "truncate after a.new", "a.new", 150],
  ["rename", 1, "before", undefined, "rename before a", "a", undefined],
  ["rename", 1, "after", undefined, "rename after a", "a", 150],
  ["sync", 1, "before", ".", "sync before .", "a", 150],
  ["unlink", 1, "before", undefined, "unlink before a", "a", 150],
  ["unlink", 1, "after", undefined, "unlink after a", "a", undefined],
];

Deno.test("shim: kills before, half-way and after each kind of call", async () => {
  for (const [kind, n, when, place, hit, file, bytes] of kills) {
    await using bench = await Bench.open();
    bench.shim.killAt({ kinds: [kind], n, when, ...(place === undefined ? {} : { place }) });
    assert.equal((await bench.run()).signal, "SIGKILL", hit);
    assert.equal(bench.shim.hit(), hit);
    const info = await Deno.stat(join(bench.dir, "watched", file)).catch(() => undefined);
    assert.equal(info?.size, bytes, hit);
  }
  await using bench = await Bench.open();
  bench.shim.killAt({ kinds: ["send"], n: 1, when: "half", place: "broker" });
  assert.equal((await bench.run()).signal, "SIGKILL");
  assert.equal(bench.shim.hit(), "send half broker");
  assert.equal(await bench.received, 50);
});

Deno.test("shim: makes calls fail, for a while, for ever, or half-way", async () => {
  await using bench = await Bench.open();
  bench.shim.failAt({ kinds: ["sync"], n: 1, errno: 5, times: 1 });
  assert.match((await bench.run()).out, /^sync EIO$[^]*^sync folder $/m);
  bench.shim.failAt({ kinds: ["write"], n: 1, errno: 28, place: "a.new" });
  assert.match((await bench.run()).out, /^write ENOSPC\nwrite ENOSPC$/m);
  bench.shim.failAt({ kinds: ["write"], n: 1, errno: 28, short: true });
  assert.match((await bench.run()).out, /^write 50\nwrite ENOSPC$/m);
  bench.shim.disarm();
  assert.match((await bench.run()).out, /^write 100\nwrite 100$/m);
});
