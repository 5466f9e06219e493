import assert from "node:assert/strict";
import { join } from "node:path";
import { finish } from "../lab/command.ts";
import { projectDir } from "../lab/paths.ts";

/** `check-pi.sh` where `uname -m` and `getconf LONG_BIT` say this. */
async function checkPi(machine: string, bits: string): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-check-pi-" });
  try {
    for (const [name, says] of [["uname", machine], ["getconf", bits]] as const) {
      await Deno.writeTextFile(join(dir, name), `#!/bin/sh\necho ${says}\n`, { mode: 0o755 });
    }
    const { stdout, stderr } = await finish("sh", [join(projectDir, "installer/check-pi.sh")], {
      env: { PATH: `${dir}:${Deno.env.get("PATH")}` },
    });
    assert.equal(stderr, "");
    return stdout;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("check-pi.sh: says which binary is the right one, and readably why none is", async () => {
  assert.match(await checkPi("aarch64", "64"), /^ok .*take sensorlog-agent-aarch64-unknown-linux-gnu$/m);
  assert.match(await checkPi("x86_64", "64"), /^ok .*take sensorlog-agent-x86_64-unknown-linux-gnu$/m);
  // a 64-bit kernel under a 32-bit Raspberry Pi OS
  for (const machine of ["aarch64", "armv7l", "armv6l", "i686"]) {
    assert.match(
      await checkPi(machine, "32"),
      /^NOT OK .*32-bit system.*\n +install the 64-bit Raspberry Pi OS/m,
    );
  }
  assert.match(await checkPi("riscv64", "64"), /^NOT OK .*no binary for riscv64/m);
});
