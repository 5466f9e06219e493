/** Programs of the system, run to their end. */
import { reasonOf } from "../agent/base/errors.ts";
import type { RunProgram } from "./service.ts";

const timeoutDefaultMs = 60_000;

/** Without a shell and without input. A program that can't be started has the code 127, as a shell has it. */
export const runProgram: RunProgram = async (program, args, timeoutMs = timeoutDefaultMs) => {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const command = new Deno.Command(program, {
      ...{ args, stdin: "null", stdout: "piped", stderr: "piped", env: { LC_ALL: "C.UTF-8", NO_COLOR: "1" } },
    });
    const child = command.spawn();
    const onTimeout = () => child.kill("SIGKILL");
    signal.addEventListener("abort", onTimeout);
    const { code, stdout, stderr } = await child.output();
    signal.removeEventListener("abort", onTimeout);
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code: signal.aborted ? 124 : code, stdout: text(stdout), stderr: text(stderr) };
  } catch (error) {
    return { code: 127, stdout: "", stderr: reasonOf(error) };
  }
};
