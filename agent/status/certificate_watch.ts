/** Raises an alarm while a certificate that the agent depends on ends soon: those in files, and the one that the broker shows. */
import { Alarms } from "../base/alarms.ts";
import { lifetime } from "../base/certificate.ts";
import { type ProbePlace, shownCertificateEnd } from "../base/certificate_probe.ts";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { certificateAgainMs, certificateLookMs } from "../limits.ts";
import type { Settings } from "../settings.ts";
import { certificatesInFiles, endingText, renewShown, type UsedCertificate } from "./certificates.ts";
import type { Alarm } from "./snapshot.ts";

export interface CertificateWatchParts {
  settings: Pick<Settings, "mqtt" | "outputs">;
  /** Where the broker shows its certificate; undefined: it shows none. */
  broker: ProbePlace | undefined;
  clock: Clock;
  log: Log;
}

export class CertificateWatch {
  readonly #alarms: Alarms;
  readonly #inFiles: UsedCertificate[];
  #shown: UsedCertificate | undefined;

  constructor(private readonly parts: CertificateWatchParts) {
    this.#alarms = new Alarms(parts.clock);
    this.#inFiles = certificatesInFiles(parts.settings);
  }

  /**
   * Looks at the broker's certificate now and then every day, or sooner when it could not be seen or ends soon, until `signal`
   * aborts. Nothing waits for it, and it never rejects.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, broker } = this.parts;
    while (!signal.aborted) {
      const endMs = broker === undefined ? undefined : await shownCertificateEnd(broker, signal);
      if (endMs !== undefined) {
        this.#shown = { output: undefined, name: "the broker's certificate", endMs, remedy: renewShown };
      }
      this.alarms();
      const well = endMs !== undefined && lifetime(endMs, clock.wallMs()).state === "lasts";
      await clock.sleep(well || broker === undefined ? certificateLookMs : certificateAgainMs, signal);
    }
  }

  /** Judged anew each time: a clock that was wrong may be right now. */
  alarms(): Alarm[] {
    const { clock, log } = this.parts;
    const all = this.#shown === undefined ? this.#inFiles : [...this.#inFiles, this.#shown];
    const ending = endingText(all, clock.wallMs());
    if (ending === undefined) this.#alarms.clear("certificate_ends");
    else if (this.#alarms.raise("certificate_ends", ending.text, ending.remedy)) {
      log.warning("A certificate ends soon", { certificates: ending.text });
    }
    return this.#alarms.list();
  }
}
