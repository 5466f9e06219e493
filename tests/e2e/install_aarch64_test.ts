import assert from "node:assert/strict";
import { join } from "node:path";
import { agentBinary } from "../lab/agent.ts";
import { finish, succeed } from "../lab/command.ts";
import { assertSame, listing } from "./install_rig.ts";

/** What of a 64-bit Raspberry Pi OS the installer looks at: no arm64 Debian can be booted here. */
async function imageFor(machine: number): Promise<string> {
  const root = await Deno.makeTempDir({ prefix: "sensorlog-lab-card-" });
  const elf = new Uint8Array([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, ...new Uint8Array(9), 2, 0, machine, 0]);
  for (const dir of ["etc/systemd/system", "usr/local/bin", "usr/lib/systemd", "var/lib", "var/log"]) {
    await Deno.mkdir(join(root, dir), { recursive: true });
  }
  await Deno.writeFile(join(root, "usr/lib/systemd/systemd"), elf);
  await Deno.writeTextFile(join(root, "usr/lib/os-release"), 'ID=debian\nVERSION_ID="13"\n');
  await Deno.symlink("../usr/lib/os-release", join(root, "etc/os-release"));
  await Deno.writeTextFile(
    join(root, "etc/passwd"),
    "root:x:0:0::/root:/bin/sh\npi:x:1000:1000::/:/bin/sh\n",
  );
  await Deno.writeTextFile(join(root, "etc/group"), "root:x:0:\npi:x:1000:\n");
  await Deno.writeTextFile(join(root, "etc/shadow"), "root:*:19000::::::\n", { mode: 0o640 });
  return root;
}

Deno.test("install --root: the binary for the Pi installs itself into a card's image, and not into another machine's", async () => {
  const card = await imageFor(183);
  const other = await imageFor(62);
  const pi = async (...args: string[]) =>
    await finish("qemu-aarch64", ["-L", "/usr/aarch64-linux-gnu", agentBinary("aarch64"), ...args]);
  try {
    const before = await listing(card);
    const { code, stdout, stderr } = await pi("install", "--root", card, "--plant", "vigo");
    assert.equal(code, 0, stdout + stderr);
    const sum = async (file: string) => (await succeed("sha256sum", [file])).split(" ")[0];
    assert.equal(await sum(join(card, "usr/local/bin/sensorlog-agent")), await sum(agentBinary("aarch64")));
    const service = "etc/systemd/system/multi-user.target.wants/sensorlog-agent.service";
    assert.equal(await Deno.readLink(join(card, service)), "/etc/systemd/system/sensorlog-agent.service");
    assert.match(await Deno.readTextFile(join(card, "etc/passwd")), /^sensorlog:x:999:999:/m);
    assert.equal((await pi("uninstall", "--root", card, "--purge", "--yes")).code, 0);
    assertSame(await listing(card), before, "purged");

    const refused = await pi("install", "--root", other);
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /it is for x86_64, and this binary is for 64-bit aarch64; take sensorlog-agent-x86_64/,
    );
  } finally {
    for (const dir of [card, other]) await Deno.remove(dir, { recursive: true });
  }
});
