/**
 * The output `elasticsearch`: batches become bulk requests that create documents, never overwrite them, so that a retry
 * meets its own id and is answered with 409.
 */
import { Buffer } from "node:buffer";
import { gzipSync } from "node:zlib";
import { type Alarm, Alarms } from "../base/alarms.ts";
import { OperationError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { bulkBytesMax } from "../limits.ts";
import type { ElasticsearchSettings, Settings } from "../settings.ts";
import { type BulkBody, BulkEncoder } from "./bulk_encoder.ts";
import { withoutCredentials } from "./elasticsearch_connection.ts";
import { ElasticsearchNodes, objectOf, type Reply } from "./elasticsearch_nodes.ts";
import { ElasticsearchSetup } from "./elasticsearch_setup.ts";
import { checkTarget } from "./index_pattern.ts";
import { AllCreated, countIf, judgeBulk, judgeRefusal, mayCount } from "./judge.ts";
import { localAddressTowards } from "./local_address.ts";
import type { Finding, Outgoing, Output, Verdict } from "./output.ts";
import { parseTopicPattern } from "./topic_labels.ts";

/** What of the answer is asked for: enough for verdicts, a tenth of the whole. */
const query = { filter_path: "errors,items.*.error,items.*.status" };
/** Documents are alike: the quickest level makes an eighth to a twelfth of them. Room for that in one piece is quicker still. */
const zip = (body: Uint8Array) =>
  gzipSync(body, { level: 1, chunkSize: Math.max(zipLeastBytes, body.length >> 3) });
const zipLeastBytes = 16 * 1024;
const confirmed: Verdict = { kind: "confirmed" };
/** Indices of which an accepted document is remembered, and its size at most. */
const witnessesMax = 8;
const witnessBytesMax = 64 * 1024;

export class ElasticsearchOutput implements Output {
  readonly name: string;
  readonly type = "elasticsearch";
  readonly place: string;
  readonly #alarms = new Alarms({ wallMs: Date.now });
  readonly #setup: ElasticsearchSetup;
  #nodes: ElasticsearchNodes | undefined;
  #hostIp: string | undefined;
  #encoder: BulkEncoder;
  readonly #allCreated = new AllCreated();
  /** Halved when the server finds a request too large. */
  #requestBytesMax = bulkBytesMax;
  /** For each index the request of a document that it took: sent again, it shows whether the index takes any. */
  readonly #witnesses = new Map<string, Buffer>();

  /** Throws ConfigError when index or data stream can't be written to. Connects to nothing yet. */
  constructor(
    private readonly settings: ElasticsearchSettings,
    private readonly common: Settings,
    log: Log,
  ) {
    const { name, urls, index, dataStream } = settings;
    this.name = name;
    const target = { target: (index ?? dataStream)!, dataStream: index === undefined };
    checkTarget(name, target.dataStream ? "data_stream" : "index", target.target);
    this.place = `${urls.map(withoutCredentials).join(", ")} (${target.target})`;
    this.#setup = new ElasticsearchSetup({
      name,
      target,
      manageTemplate: settings.manageTemplate,
      alarms: this.#alarms,
      log,
    });
    this.#hostIp = common.hostIp;
    this.#encoder = this.#makeEncoder();
  }

  async prepare(signal: AbortSignal): Promise<void> {
    await this.#nodes?.close();
    this.#nodes = undefined;
    const nodes = this.#connected();
    await this.#setup.prepare(nodes, signal);
    this.#requestBytesMax = bulkBytesMax;
    const hostIp = this.common.hostIp ?? await localAddressTowards(this.settings.proxy ?? nodes.place);
    if (hostIp === this.#hostIp) return;
    this.#hostIp = hostIp;
    this.#encoder = this.#makeEncoder();
  }

  async send(batch: Outgoing[], signal: AbortSignal): Promise<Verdict[]> {
    const verdicts: Verdict[] = [];
    while (verdicts.length < batch.length) {
      const part = this.#encoder.encode(batch, verdicts.length, this.#requestBytesMax);
      if (part.unfit !== undefined) {
        verdicts.push({ kind: "dead", reason: `can't be made a document: ${part.unfit}`, status: 0 });
        continue;
      }
      const reply = await this.#bulk(part.body, signal);
      if (reply.status === 413) {
        const { reason } = judgeRefusal(reply.status, reply.body);
        if (part.count === 1) verdicts.push({ kind: "dead", reason: `too large (${reason})`, status: 413 });
        else this.#requestBytesMax = Math.ceil(part.body.length / 2);
        continue;
      }
      const judged = this.#judge(reply, part);
      this.#remember(batch, verdicts.length, part, judged);
      verdicts.push(...await this.#count(judged, part, signal));
    }
    return verdicts;
  }

  alarms(): Alarm[] {
    return this.#alarms.list();
  }

  async examine(signal: AbortSignal): Promise<Finding[]> {
    try {
      return await this.#setup.examine(this.#connected(), signal);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      const { reason, remedy, place } = error;
      return [{ level: "failure", what: `${place}: ${reason}`, ...(remedy === undefined ? {} : { remedy }) }];
    }
  }

  async close(): Promise<void> {
    await this.#nodes?.close();
    this.#nodes = undefined;
  }

  #connected(): ElasticsearchNodes {
    return this.#nodes ??= new ElasticsearchNodes(this.settings);
  }

  #makeEncoder(): BulkEncoder {
    const { plant, labels, labelsFromTopic } = this.common;
    return new BulkEncoder({
      hostName: plant,
      hostIp: this.#hostIp,
      labels: { plant, ...labels },
      topicPattern: labelsFromTopic === undefined ? undefined : parseTopicPattern(labelsFromTopic),
    });
  }

  #bulk(body: Uint8Array, signal: AbortSignal): Promise<Reply> {
    const zippedNdjson = zip(body);
    return this.#connected().request({ method: "POST", path: "/_bulk", query, zippedNdjson }, signal);
  }

  /** Verdicts of an answer; throws OperationError when the request was refused as a whole. */
  #judge(reply: Reply, part: BulkBody): Verdict[] {
    if (reply.status === 200) {
      if (this.#allCreated.is(reply.text, part.count)) return part.indices.map(() => confirmed);
      const verdicts = judgeBulk(objectOf(reply, this.#connected().place), part.indices);
      if (typeof verdicts !== "string") return verdicts;
      throw this.#refused(verdicts, undefined, true);
    }
    const { kind, reason, remedy } = judgeRefusal(reply.status, reply.body);
    throw this.#refused(reason, remedy, kind === "retry");
  }

  #refused(cause: string, remedy: string | undefined, retryable: boolean): OperationError {
    return new OperationError({
      operation: "send readings",
      place: this.#connected().place,
      cause,
      ...(remedy === undefined ? {} : { remedy }),
      retryable,
    });
  }

  /** Keeps the last document that was accepted, for each index. */
  #remember(batch: Outgoing[], from: number, part: BulkBody, verdicts: Verdict[]): void {
    const at = verdicts.findLastIndex((verdict) => verdict.kind === "confirmed");
    if (at < 0) return;
    const bytes = this.#encoder.encodeOne(batch[from + at]!);
    if (bytes.length > witnessBytesMax) return;
    const index = part.indices[at]!;
    this.#witnesses.delete(index);
    this.#witnesses.set(index, bytes);
    if (this.#witnesses.size > witnessesMax) this.#witnesses.delete(this.#witnesses.keys().next().value!);
  }

  /**
   * A refusal counts while others for the same index are accepted. When nothing else for it was in the request, a document
   * that the index has taken before is sent again: 409 says that it takes documents.
   */
  async #count(verdicts: Verdict[], part: BulkBody, signal: AbortSignal): Promise<Verdict[]> {
    const doubtful = new Set(part.indices.filter((_, at) => {
      const verdict = verdicts[at]!;
      return mayCount(verdict) && verdict.counts !== true;
    }));
    let counted = verdicts;
    for (const index of doubtful) {
      const accepting = await this.#accepts(index, signal);
      counted = counted.map((verdict, at) => {
        return part.indices[at] === index && mayCount(verdict) ? countIf(verdict, accepting) : verdict;
      });
    }
    return counted;
  }

  async #accepts(index: string, signal: AbortSignal): Promise<boolean> {
    const witness = this.#witnesses.get(index);
    if (witness === undefined) return false;
    try {
      const reply = await this.#bulk(witness, signal);
      const verdicts = reply.status === 200 ? judgeBulk(reply.body, [index]) : [];
      return typeof verdicts !== "string" && verdicts[0]?.kind === "confirmed";
    } catch (error) {
      if (error instanceof OperationError) return false;
      throw error;
    }
  }
}
