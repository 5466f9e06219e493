/** Runs a program of the system to its end. */

export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs `program` and returns exit code and output, whatever the code is. `env` is added to this process's own. */
export async function finish(
  program: string,
  args: string[],
  options: { env?: Record<string, string>; cwd?: string; stdin?: string } = {},
): Promise<Finished> {
  const child = new Deno.Command(program, {
    args,
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (options.stdin !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(options.stdin));
    await writer.close();
  }
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Like `finish`, but throws with the program's own words when it fails; returns its standard output. */
export async function succeed(
  program: string,
  args: string[],
  options: { env?: Record<string, string>; cwd?: string; stdin?: string } = {},
): Promise<string> {
  const { code, stdout, stderr } = await finish(program, args, options);
  if (code !== 0) {
    throw new Error(`${program} ${args.join(" ")} ended with ${code}:\n${stdout}${stderr}`.trimEnd());
  }
  return stdout;
}
