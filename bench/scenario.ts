/** What a row is made of: one thing measured on our side and, where there is one, on a peer's, in the same rounds. */
import type { Aim } from "./statistics.ts";

export type Side = "ours" | "peer";

/** One figure of a scenario; its row is named `<scenario>.<key>`. */
export interface Figure {
  key: string;
  unit: "us" | "per s" | "MB" | "ms";
  /** What it is, in a few words. */
  what: string;
  /** Undefined: for information. `of` says what the aim is about: ours divided by the peer's, or ours alone. */
  aim?: Aim & { of: "ratio" | "ours" };
}

/** What was measured in one round on one side, by the figures' keys. */
export type Measured = Record<string, number>;

export interface Scenario {
  name: string;
  /** Name of the peer; undefined when there is none. */
  peer?: string;
  figures: Figure[];
  /** Measures one side once, in `dir`, an empty folder that is removed afterwards. Throws when something is not right. */
  measure(side: Side, dir: string): Promise<Measured>;
  /** How many rounds this one takes at least or at most, when not as many as the others. */
  rounds?: { min?: number; max?: number };
}

/** What the command line says about all of them. */
export interface Amounts {
  /** Messages or documents of one round. */
  messages: number;
}
