/**
 * sd_notify(3): tells systemd that the agent is ready, what it is doing and that it lives. Without NOTIFY_SOCKET (started
 * by hand) nothing happens. A manager that does not listen is no reason to fail.
 */
import { clockNs, libc, monotonicClock } from "./libc.ts";

/** What of the environment is read; `Deno.env` in the agent. */
export interface Environment {
  get(name: string): string | undefined;
}

const unixFamily = 1;
const datagramCloseOnExec = 2 | 0o2000000;
const dontWaitNoSignal = 0x40 | 0x4000;
/** sun_path holds 108 bytes. */
const addressBytesMax = 2 + 108;

/** Whether a service manager started this process and waits to be told that it is ready. */
export function startedByManager(environment: Environment = Deno.env): boolean {
  return (environment.get("NOTIFY_SOCKET") ?? "") !== "";
}

export class Notifier {
  readonly #address: Uint8Array<ArrayBuffer> | undefined;
  readonly #watchdogMs: number | undefined;
  #status = "";
  #timer: number | undefined;

  constructor(environment: Environment = Deno.env, pid: number = Deno.pid) {
    this.#address = socketAddress(environment.get("NOTIFY_SOCKET"));
    const intervalUs = Number(environment.get("WATCHDOG_USEC"));
    const forWhom = environment.get("WATCHDOG_PID");
    const forUs = forWhom === undefined || forWhom === String(pid);
    this.#watchdogMs = intervalUs > 0 && forUs ? intervalUs / 2_000 : undefined;
  }

  /** Start-up, or reading the configuration again, is over. */
  ready(): void {
    this.#send("READY=1");
  }

  /** One line for `systemctl status`; the same one is not sent twice. */
  status(text: string): void {
    const line = text.replace(/\s+/g, " ");
    if (line !== this.#status && this.#send(`STATUS=${line}`)) this.#status = line;
  }

  /** The configuration is being read again; `ready()` ends it. */
  reloading(): void {
    const nowNs = clockNs(monotonicClock);
    this.#send(nowNs === undefined ? "RELOADING=1" : `RELOADING=1\nMONOTONIC_USEC=${nowNs / 1_000n}`);
  }

  stopping(): void {
    this.close();
    this.#send("STOPPING=1");
  }

  /** Tells systemd twice per interval that the agent lives, as long as `lives()` says so; only when systemd asked for it. */
  watch(lives: () => boolean): void {
    if (this.#watchdogMs === undefined || this.#timer !== undefined) return;
    const tell = () => {
      if (lives()) this.#send("WATCHDOG=1");
    };
    tell();
    this.#timer = setInterval(tell, this.#watchdogMs);
    Deno.unrefTimer(this.#timer);
  }

  /** Ends `watch`. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Returns whether the manager took it. */
  #send(text: string): boolean {
    if (this.#address === undefined || libc === undefined) return false;
    const socket = libc.socket(unixFamily, datagramCloseOnExec, 0);
    if (socket < 0) return false;
    const bytes = new TextEncoder().encode(text);
    const size = BigInt(bytes.length);
    const sent = libc.sendto(socket, bytes, size, dontWaitNoSignal, this.#address, this.#address.length);
    libc.close(socket);
    return sent === size;
  }
}

/** sockaddr_un: a path, or a name of the abstract namespace that begins with `@`. Undefined for anything else. */
function socketAddress(name: string | undefined): Uint8Array<ArrayBuffer> | undefined {
  if (name === undefined || !/^[@/]./.test(name)) return undefined;
  const abstract = name.startsWith("@");
  const path = new TextEncoder().encode(abstract ? `\0${name.slice(1)}` : `${name}\0`);
  if (2 + path.length > addressBytesMax) return undefined;
  const address = new Uint8Array(2 + path.length);
  new DataView(address.buffer).setUint16(0, unixFamily, true);
  address.set(path, 2);
  return address;
}
