/** The snapshot as lines for people: what wants attention first, at most `columns` wide. Pure. */
import { countText, durationText, safeText, sizeText, timeText } from "../base/display.ts";
import type {
  Alarm,
  BrokerStatus,
  OutputStatus,
  Snapshot,
  SpoolStatus,
  SubscriberStatus,
} from "./snapshot.ts";

export interface RenderOptions {
  columns: number;
  colour: boolean;
}

type Tone = "plain" | "good" | "warn" | "bad" | "faint";

/** One row: a label in the first column (or none), then text that is wrapped beside it. */
interface Row {
  label?: string;
  text: string;
  tone?: Tone;
}

const labelColumns = 10;
const setAsideShown = 2;
/** A space at which no line is broken. */
const together = "\u00a0";
const escapes: Record<Tone, string> = {
  plain: "",
  good: "\x1b[32m",
  warn: "\x1b[33m",
  bad: "\x1b[31m",
  faint: "\x1b[2m",
};

/** Whether stored = confirmed + waiting + dead + dropped + damaged holds. */
export function sumHolds(output: OutputStatus): boolean {
  const { stored, confirmed, waiting, dead, dropped, damaged } = output;
  return stored === confirmed + waiting + dead + dropped + damaged;
}

/** Whether a person should look (an output that is being retried raises an alarm when it lasts): an alarm, a connection or output that is not well, numbers that do not add up. */
export function wantsAttention(snapshot: Snapshot): boolean {
  const { alarms, subscriber, outputs } = snapshot;
  const brokerWell = ["connected", "listening", "connecting"].includes(subscriber.state);
  const outputWell = (output: OutputStatus) => sumHolds(output) && output.state !== "paused";
  return alarms.length > 0 || !brokerWell || !outputs.every(outputWell);
}

/** The whole status. Text that came from the network is made harmless for a terminal. */
export function renderStatus(snapshot: Snapshot, options: RenderOptions): string[] {
  const { nowMs } = snapshot;
  const rows: Row[] = [
    {
      label: "agent",
      text: `${snapshot.version}, plant ${snapshot.plant}, pid ${snapshot.pid}, up ${
        durationText(nowMs - snapshot.startedMs)
      }, ${sizeText(snapshot.memoryBytes)}`,
    },
    { text: "" },
    ...alarmRows(snapshot.alarms, nowMs),
    ...brokerRows(snapshot.subscriber, nowMs),
    { text: "" },
    ...spoolRows(snapshot.spool),
    { text: "" },
    ...snapshot.outputs.flatMap((output) => [...outputRows(output, nowMs), { text: "" }]),
    ...(snapshot.outputs.length === 0
      ? [{ label: "outputs", text: "none configured", tone: "warn" as const }, { text: "" }]
      : []),
    clockRow(snapshot),
  ];
  return rows.flatMap((row) => renderRow(row, options));
}

function alarmRows(alarms: Alarm[], nowMs: number): Row[] {
  if (alarms.length === 0) return [];
  const rows = alarms.flatMap((alarm): Row[] => [
    {
      label: "attention",
      text: `${alarm.text} (${alarm.code}, for ${durationText(nowMs - alarm.sinceMs)})`,
      tone: "bad",
    },
    ...(alarm.remedy === undefined ? [] : [{ text: `→ ${alarm.remedy}` }]),
  ]);
  return [...rows, { text: "" }];
}

/** What comes in: at the agent's own broker, or by subscription. */
function filterRows({ clients, filters }: SubscriberStatus): Row[] {
  if (clients !== undefined) {
    const names = filters.map(({ filter }) => filter).join(", ");
    const connected = countOf(clients, "client", "connected");
    return [{ text: `the agent's own broker, ${connected}; stored: ${names}` }];
  }
  const granted = filters.map(({ filter, granted }) =>
    `${filter} (${typeof granted === "number" ? `QoS ${granted}` : granted})`
  );
  return granted.length === 0 ? [] : [{ text: `subscribed to ${granted.join(", ")}` }];
}

/** What the broker says of itself. */
function figureRows(broker: BrokerStatus | undefined): Row[] {
  if (broker === undefined) return [];
  const { version, clientsConnected, clientsAway, heldBytes, dropped = 0, droppedSinceMs } = broker;
  const said = [
    version ?? [],
    clientsConnected === undefined ? [] : countOf(clientsConnected, "client", "connected"),
    clientsAway === undefined ? [] : `${countText(clientsAway)} away`,
    heldBytes === undefined ? [] : `${sizeText(heldBytes)} of messages held`,
  ].flat();
  const rows: Row[] = said.length === 0 ? [] : [{ text: `it says: ${said.join(", ")}` }];
  if (dropped === 0 || droppedSinceMs === undefined) return rows;
  const last = broker.lastDropMs === undefined ? "" : `, the last seen ${timeText(broker.lastDropMs)}`;
  const text = `the broker dropped ${
    countOf(dropped, "message", `since ${timeText(droppedSinceMs)}`)
  }${last}`;
  return [...rows, { text, tone: "warn" }];
}

function countOf(count: number, name: string, rest: string): string {
  return `${countText(count)} ${name}${count === 1 ? "" : "s"} ${rest}`;
}

function brokerRows(one: SubscriberStatus, nowMs: number): Row[] {
  const well = one.state === "connected" || one.state === "listening";
  const tone = well ? "good" : one.state === "connecting" ? "plain" : "warn";
  const state = one.state === "paused" || one.state === "waiting"
    ? `${one.state}: ${one.reason ?? "no reason given"}`
    : one.state;
  const rows: Row[] = [{
    label: "broker",
    text: one.url === undefined ? state : `${state}, ${one.url}`,
    tone,
  }];
  if (one.state === "no broker configured") return rows;
  if (one.nextTryMs !== undefined && one.state === "waiting") {
    rows.push({ text: `next try in ${durationText(one.nextTryMs - nowMs)}` });
  }
  if (one.state === "connected") {
    const since = one.connectedSinceMs === undefined
      ? ""
      : `for ${durationText(nowMs - one.connectedSinceMs)}, `;
    const session = one.sessionPresent === undefined
      ? ""
      : one.sessionPresent
      ? ", session resumed"
      : ", new session";
    rows.push({
      text: `${since}${one.protocol ?? "protocol unknown"}${session}, client id ${one.clientId ?? "unknown"}`,
    });
  } else if (one.lastConnectedMs !== undefined) {
    rows.push({ text: `last connected ${agoText(one.lastConnectedMs, nowMs)}` });
  }
  rows.push(...filterRows(one), ...figureRows(one.broker));
  const last = one.lastMessageMs === undefined ? "none yet" : `the last ${agoText(one.lastMessageMs, nowMs)}`;
  rows.push({ text: `${rateText(one.ratePerS)} messages/s, ${last}` });
  const counts: [string, number][] = [
    ["received", one.received],
    ["acknowledged", one.acknowledged],
    ["excluded", one.excluded],
    ["repeated", one.duplicates],
    ["truncated", one.truncated],
    ["QoS 0 lost", one.qos0Lost],
    ["reconnects", one.reconnects],
    ["sessions lost (ever)", one.sessionsLost ?? 0],
  ];
  const seen = counts.filter(([name, count], index) => index < 2 || name === "QoS 0 lost" || count > 0);
  rows.push({
    text: `since start: ${seen.map(([name, count]) => `${countText(count)} ${name}`).join(", ")}`,
  });
  const gap = one.possibleGaps.at(-1);
  if (gap !== undefined) {
    const { length } = one.possibleGaps;
    const text = `${length} possible ${length === 1 ? "gap" : "gaps"}, the last from ${
      timeText(gap.fromMs)
    } to ${timeText(gap.toMs)}: ${gap.why}`;
    rows.push({ text, tone: "warn" });
  }
  return rows;
}

function spoolRows(one: SpoolStatus): Row[] {
  const where = `${countText(one.segments)} ${one.segments === 1 ? "segment" : "segments"} in ${one.dir}`;
  const rows: Row[] = [
    { label: "spool", text: `${sizeText(one.sizeBytes)} of ${sizeText(one.maxSizeBytes)}, ${where}` },
    { text: `${sizeText(one.freeBytes)} free on the disk, ${sizeText(one.minFreeBytes)} of it stay free` },
  ];
  if (one.full) rows.push({ text: `full: ${one.fullReason ?? "no reason given"}`, tone: "bad" });
  const grows = one.lastsMs === undefined
    ? "nothing arrives at present"
    : `${sizeText(one.bytesPerS)}/s arrive: lasts ${durationText(one.lastsMs)} without outputs, then ${
      one.whenFull === "block" ? "reception stops" : "the oldest readings are dropped"
    }`;
  rows.push({ text: grows });
  rows.push({
    text: `${countText(one.stored)} readings stored ever, ${
      countText(one.heldIds)
    } QoS 2 messages not released yet`,
  });
  if (one.setAside.length > 0) {
    const more = one.setAside.length - setAsideShown;
    const names = one.setAside.slice(-setAsideShown).join(", ");
    rows.push({ text: `set aside by recovery: ${names}${more > 0 ? ` and ${more} more` : ""}` });
  }
  return rows;
}

function outputRows(one: OutputStatus, nowMs: number): Row[] {
  const tone = one.state === "well" ? "good" : one.state === "starting" ? "plain" : "warn";
  const since = one.sinceMs === undefined || one.state === "well"
    ? ""
    : ` for ${durationText(nowMs - one.sinceMs)}`;
  const reason = one.reason === undefined ? "" : `: ${one.reason}`;
  const rows: Row[] = [
    { label: one.name, text: `${one.state}${since}, ${one.type} at ${one.place}`, tone },
    ...(reason === "" ? [] : [{ text: reason.slice(2), tone: "warn" as const }]),
  ];
  if (one.nextTryMs !== undefined) rows.push({ text: `next try in ${durationText(one.nextTryMs - nowMs)}` });
  const lag = one.lagMs === undefined
    ? "nothing waits"
    : `the oldest waiting is ${durationText(one.lagMs)} old`;
  const last = one.lastConfirmedMs === undefined
    ? "nothing confirmed yet"
    : `last confirmed ${agoText(one.lastConfirmedMs, nowMs)}`;
  rows.push({ text: `${rateText(one.ratePerS)} readings/s, ${lag}, ${last}` });
  rows.push(sumRow(one));
  const why = Object.entries(one.droppedWhy).filter(([, count]) => count > 0);
  if (why.length > 0) {
    rows.push({
      text: `dropped: ${why.map(([reason, count]) => `${countText(count)} ${reason}`).join(", ")}`,
    });
  }
  if (one.lastError !== undefined) {
    rows.push({ text: `last error ${agoText(one.lastError.atMs, nowMs)}: ${one.lastError.text}` });
  }
  return rows;
}

/** Promise 4 as an equation. */
function sumRow(one: OutputStatus): Row {
  const holds = sumHolds(one);
  const parts = (["confirmed", "waiting", "dead", "dropped", "damaged"] as const).map((name) =>
    `${countText(one[name])}${together}${name}`
  );
  const sum = `${countText(one.stored)} stored ${holds ? "=" : "≠"} ${parts.join(" + ")}`;
  return holds ? { text: sum } : { text: `${sum}: the numbers do not add up`, tone: "bad" };
}

function clockRow({ clock }: Snapshot): Row {
  return { label: "clock", text: clock.decision, tone: clock.synchronised === "no" ? "warn" : "plain" };
}

function renderRow(row: Row, { columns, colour }: RenderOptions): string[] {
  if (row.text === "" && row.label === undefined) return [""];
  const tone = escapes[row.tone ?? "plain"];
  const paint = (text: string, escape: string) => colour && escape !== "" ? `${escape}${text}\x1b[0m` : text;
  const heading = row.label === undefined ? "" : safeText(row.label);
  // a name that is wider than its column gets a line to itself
  const first = heading.length >= labelColumns
    ? wrap(heading, columns).map((line) => paint(line, "\x1b[1m"))
    : [];
  const lines = wrap(safeText(row.text), Math.max(columns - labelColumns, 20)).map((text, index) => {
    const label = index === 0 && first.length === 0 ? heading : "";
    return `${paint(label, label === "" ? "" : "\x1b[1m")}${" ".repeat(labelColumns - label.length)}${
      paint(text, tone)
    }`;
  });
  return [...first, ...lines];
}

/** Breaks at spaces; a word that is wider than a line is cut. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const joined = line === "" ? word : `${line} ${word}`;
    if (joined.length <= columns) {
      line = joined;
      continue;
    }
    if (line !== "") lines.push(line);
    line = word;
    while (line.length > columns) {
      lines.push(line.slice(0, columns));
      line = line.slice(columns);
    }
  }
  return [...lines, line].map((one) => one.replaceAll(together, " "));
}

function agoText(atMs: number, nowMs: number): string {
  return nowMs >= atMs ? `${durationText(nowMs - atMs)} ago` : `at ${timeText(atMs)}`;
}

function rateText(perS: number): string {
  return perS > 0 && perS < 10 ? perS.toFixed(1) : countText(perS);
}
