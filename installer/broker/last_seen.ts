/** When accounts were last seen, from the lines that Mosquitto logs of connections. Pure: lines in, times out. */

/** Of one account. */
export interface Seen {
  /** Milliseconds since 1970: when it connected last, or when its last connection ended. */
  lastMs: number;
  /** No end of its last connection is in the log. */
  connected: boolean;
}

/** How Mosquitto says that a connection has ended. */
const endings = [
  /^Client (.*?) (?:closed its connection|disconnected|has exceeded timeout|already connected)[^]*$/,
  /^Bad socket read\/write on client (.*): .*$/,
];
/** So many connections are followed; whoever opens more is seen no later than when it connected. */
const clientsMax = 10_000;
const lineCharactersMax = 4_096;

export class LastSeen {
  readonly #seen = new Map<string, Seen>();
  /** Accounts of connected clients, by client id. */
  readonly #clients = new Map<string, string>();

  get accounts(): ReadonlyMap<string, Seen> {
    return this.#seen;
  }

  /** Takes the next line; those of older files first. What is none of Mosquitto's is passed over. */
  line(text: string): void {
    if (text.length > lineCharactersMax) return;
    const [, time, rest] = /^(\d{9,11}|\d{4}-\d\d-\d\dT[0-9:.+Z-]+): (.*)$/.exec(text.trimEnd()) ?? [];
    if (rest === undefined) return;
    const ms = /^\d+$/.test(time!) ? Number(time) * 1_000 : Date.parse(zoned(time!));
    if (!Number.isFinite(ms)) return;
    // greedy: a client id may hold anything, what stands last is Mosquitto's own
    const joined = /^New client connected from \S+ as (.*) \(p\d, c[01], k\d+, u'([A-Za-z0-9._-]{1,64})'\)\.$/
      .exec(rest);
    if (joined !== null) return this.#joined(joined[1]!, joined[2]!, ms);
    const left = endings.map((ending) => ending.exec(rest)).find((found) => found !== null);
    if (left !== undefined) return this.#left(left![1]!, ms);
    if (/^mosquitto version \S+ (starting|terminating)$/.test(rest)) {
      for (const id of [...this.#clients.keys()]) this.#left(id, ms);
    }
  }

  #joined(id: string, account: string, ms: number): void {
    if (this.#clients.size < clientsMax) this.#clients.set(id, account);
    this.#seen.set(account, { lastMs: ms, connected: this.#clients.get(id) === account });
  }

  #left(id: string, ms: number): void {
    const account = this.#clients.get(id);
    if (account === undefined) return;
    this.#clients.delete(id);
    const others = [...this.#clients.values()].includes(account);
    this.#seen.set(account, { lastMs: ms, connected: others });
  }
}

/** An offset without its colon, as strftime(3) writes it, is none to Date. */
function zoned(time: string): string {
  return time.replace(/([+-]\d\d)(\d\d)$/, "$1:$2");
}
