import { succeed } from "../lab/command.ts";
import { projectDir } from "../lab/paths.ts";

Deno.test("as owner: what root makes in another user's folder is that user's, and root's own files are out of reach meanwhile", async () => {
  // in a process of its own: all threads of one act as the other user, those of other tests too
  const code = `
    import assert from "node:assert/strict";
    import { Acting } from "${projectDir}/agent/base/as_owner.ts";
    const isRoot = Deno.uid() === 0;
    const dir = Deno.makeTempDirSync();
    try {
      Deno.writeTextFileSync(dir + "/secret", "root's", { mode: 0o600 });
      Deno.mkdirSync(dir + "/theirs", { mode: 0o700 });
      const theirs = isRoot ? 65_534 : Deno.uid();
      if (isRoot) {
        Deno.chmodSync(dir, 0o755);
        Deno.chownSync(dir + "/theirs", theirs, theirs);
      }
      const acting = Acting.asOwnerOf(dir + "/theirs/not/there/yet");
      try {
        Deno.mkdirSync(dir + "/theirs/made");
        assert.equal(Deno.statSync(dir + "/theirs/made").uid, theirs);
        const readSecret = () => Deno.readTextFileSync(dir + "/secret");
        if (isRoot) assert.throws(readSecret, Deno.errors.PermissionDenied);
        assert.equal(acting.asRoot(readSecret), "root's");
        if (isRoot) assert.throws(readSecret, Deno.errors.PermissionDenied);
      } finally {
        acting.end();
      }
      assert.equal(Deno.readTextFileSync(dir + "/secret"), "root's");
      Deno.writeTextFileSync(dir + "/theirs/after", "");
      assert.equal(Deno.statSync(dir + "/theirs/after").uid, Deno.uid());
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }`;
  await succeed(Deno.execPath(), ["eval", "--no-lock", "--no-config", "--ext=ts", code]);
});
