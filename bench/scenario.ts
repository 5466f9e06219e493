/** What a row is made of: one thing measured on our side and on those of its peers, in the same rounds. */
import type { Aim } from "./statistics.ts";

/** `ours`, or the name of a peer. */
export type Side = string;
export const ours: Side = "ours";

/** One figure of a scenario; its row is named `<scenario>.<key>`. */
export interface Figure {
  key: string;
  unit: "us" | "per s" | "MB" | "ms" | "B" | "readings";
  /** What it is, in a few words. */
  what: string;
  /** Undefined: for information. `of` says what the aim is about: ours divided by the peer's, or ours alone. */
  aim?: Aim & { of: "ratio" | "ours" };
}

/** What was measured in one round on one side, by the figures' keys. */
export type Measured = Record<string, number>;

export interface Scenario {
  name: string;
  /** Names of the peers; none for what has no peer. Each gets rows of its own. */
  peers: string[];
  figures: Figure[];
  /** Brings what is needed; returns why peers can't be measured here, by name. */
  prepare?(): Promise<Record<Side, string>>;
  /** Measures one side once, in `dir`, an empty folder that is removed afterwards. Throws when something is not right. */
  measure(side: Side, dir: string): Promise<Measured>;
  /** Ends what all rounds shared. */
  finish?(): Promise<void>;
  /** How many rounds this one takes at least or at most, when not as many as the others. */
  rounds?: { min?: number; max?: number };
}

/** What the command line says about all of them. */
export interface Amounts {
  /** Messages or documents of one round. */
  messages: number;
}
