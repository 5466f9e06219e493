/** A certificate and its key in two files, which can't be replaced in one step: a server that starts between would not. */
import { numericAccess } from "./accounts.ts";
import { type Machine, type NumericAccess, textOf } from "./machine.ts";
import type { Access, Step } from "./plan.ts";

export type PairStep = Extract<Step, { kind: "pair" }>;

/** Whether both files are as they are to be. */
export function pairIs(machine: Machine, { certificate, key }: PairStep): boolean {
  return [certificate, key].every(({ path, content, access }) => {
    const [found, wanted] = [machine.look(path), numericAccess(machine, access)];
    return found?.type === "file" && wanted !== undefined && textOf(machine, path) === content &&
      found.mode === wanted.mode && found.uid === wanted.uid && found.gid === wanted.gid;
  });
}

/**
 * Replaces both so that at every moment the two that stand there belong together, also when the machine stops in the
 * middle. Of a file with a key and a certificate in it, a server takes what it looks for: so the key's file gets the
 * certificate as well, the certificate becomes a link to it, the one file is replaced, and the two are parted again.
 */
export async function replacePair(machine: Machine, { certificate, key }: PairStep): Promise<void> {
  const access = accessOf(machine, key.access);
  const write = (path: string, text: string, access: NumericAccess) =>
    machine.write(path, new TextEncoder().encode(text), access);
  const before = { certificate: textOf(machine, certificate.path), key: textOf(machine, key.path) };
  const isPair = before.certificate !== undefined && before.key !== undefined;
  if (isPair && before.key !== key.content) {
    if (machine.look(certificate.path)?.type !== "link") {
      await write(key.path, `${before.key}${before.certificate}`, access);
      await machine.link(certificate.path, key.path);
    }
    await write(key.path, key.content + certificate.content, access);
    await write(certificate.path, certificate.content, accessOf(machine, certificate.access));
    return await write(key.path, key.content, access);
  }
  await write(key.path, key.content, access);
  await write(certificate.path, certificate.content, accessOf(machine, certificate.access));
}

function accessOf(machine: Machine, access: Access): NumericAccess {
  const numeric = numericAccess(machine, access);
  if (numeric !== undefined) return numeric;
  throw new Error(`there is no user ${access.owner}, or no group ${access.group}`);
}
