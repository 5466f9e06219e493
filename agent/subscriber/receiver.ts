/** What the pipeline needs of its first stage: a client of a broker (`Subscriber`), or the agent's own broker. */
import type { MqttSettings } from "../settings.ts";
import type { SubscriberStatus } from "../status/snapshot.ts";

export interface Receiver {
  /**
   * Brings messages into the spool until `signal` aborts; resolves when what was read is stored and acknowledged. Rejects
   * only for what must end the process: LostSyncError, and OperationError when there is no way to begin.
   */
  run(signal: AbortSignal): Promise<void>;
  status(): SubscriberStatus;
  /** Takes a changed configuration: what can be changed while running. */
  reload(settings: MqttSettings): void;
}
