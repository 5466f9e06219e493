import assert from "node:assert/strict";
import { join } from "node:path";
import { OperationError } from "../../agent/base/errors.ts";
import { lockFolder } from "../../agent/base/lock.ts";
import { Running } from "../lab/process.ts";
import { waitUntil } from "../lab/wait.ts";

const module = new URL("../../agent/base/lock.ts", import.meta.url).href;

/** Another process that takes the lock and keeps it until it is ended. */
function owner(dir: string): Running {
  const program = `import { lockFolder } from ${JSON.stringify(module)};
    await lockFolder(${JSON.stringify(dir)});
    console.log("locked");
    await new Promise((done) => setTimeout(done, 60_000));`;
  return new Running(Deno.execPath(), ["eval", "--ext=ts", program]);
}

Deno.test("lock: the second agent is refused at once, in other processes and in the same, naming the first", async () => {
  const dir = await Deno.makeTempDir();
  const lock = await lockFolder(dir);
  try {
    const path = join(dir, "lock");
    assert.equal(await Deno.readTextFile(path), `${Deno.pid}\n`);
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
    await assert.rejects(lockFolder(dir), (error: unknown) => {
      assert.ok(error instanceof OperationError);
      assert.match(
        error.message,
        new RegExp(`${path}: the process with pid ${Deno.pid} has it; stop that one`),
      );
      return true;
    });
    const other = owner(dir);
    assert.notEqual((await other.exit).code, 0);
    assert.match(other.stderr.text, new RegExp(`pid ${Deno.pid} has it`));
  } finally {
    lock.release();
  }
  const again = await lockFolder(dir);
  lock.release(); // an old lock's second release must not free the new one
  await assert.rejects(lockFolder(dir), OperationError);
  again.release();
  await Deno.remove(dir, { recursive: true });
});

Deno.test("lock: kill -9 frees it, and a longer number of an earlier owner leaves nothing behind", async () => {
  const dir = await Deno.makeTempDir();
  await Deno.writeTextFile(join(dir, "lock"), "123456789012345\nrest");
  const first = owner(dir);
  await waitUntil(() => first.stdout.text.includes("locked"), 10_000, "the first to lock");
  await assert.rejects(lockFolder(dir), new RegExp(`pid ${first.pid} has it`));
  first.signal("SIGKILL");
  await first.exit;
  const lock = await lockFolder(dir);
  assert.equal(await Deno.readTextFile(join(dir, "lock")), `${Deno.pid}\n`);
  lock.release();
  await Deno.remove(dir, { recursive: true });
});

Deno.test("lock: a folder that is not there or can't be written is an error that says where", async () => {
  await assert.rejects(lockFolder("/nowhere/spool"), (error: unknown) => {
    assert.ok(error instanceof OperationError);
    assert.match(error.message, /\/nowhere\/spool\/lock/);
    return true;
  });
});
