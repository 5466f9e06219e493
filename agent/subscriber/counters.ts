/** What the subscriber has counted since its start. */
export class Counters {
  /** Messages that came, the agent's own and what comes for `BrokerFigures` only aside. */
  received = 0;
  /** Messages for which PUBACK or PUBREC was written. */
  acknowledged = 0;
  excluded = 0;
  /** Repetitions at QoS 2 that were recognised and not stored. */
  duplicates = 0;
  truncated = 0;
  /** Messages at QoS 0 that were read and could not be stored. */
  qos0Lost = 0;
  reconnects = 0;
}
