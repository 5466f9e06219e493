/**
 * The index template: a mapping that takes whatever documents of ours hold. It belongs to the agent, which replaces it
 * only by a newer version of its own. What a user wants to add (lifecycle policy, replicas, fields) goes into the component
 * template `NAME@custom`, which the agent never touches.
 */
import { literalPrefix } from "./index_pattern.ts";

/** Raised whenever the content below changes. */
export const templateVersion = 1;
const managedBy = "sensorlog-agent";
/** Above Elastic's own templates (100), below what Elastic recommends for special ones (500). */
const priority = 250;
/** Characters of a keyword: three bytes each at most, so that a term stays below Lucene's 32,766 bytes. */
const keywordMax = 8_191;

const keyword = { type: "keyword", ignore_above: keywordMax };

const mappings = {
  dynamic: false,
  dynamic_templates: [
    {
      numbers: {
        path_match: "values.*",
        match_mapping_type: "*",
        mapping: { type: "double", ignore_malformed: true },
      },
    },
    { labels: { path_match: "labels.*", match_mapping_type: "*", mapping: keyword } },
  ],
  properties: {
    "@timestamp": { type: "date" },
    topic: keyword,
    value: { type: "double", ignore_malformed: true },
    text: { type: "text", fields: { keyword: { type: "keyword", ignore_above: 1_024 } } },
    values: { type: "object", dynamic: true, subobjects: false },
    payload: { type: "flattened", depth_limit: 20, ignore_above: keywordMax },
    payload_base64: { type: "binary" },
    host: { properties: { name: keyword, ip: { type: "ip", ignore_malformed: true } } },
    labels: { type: "object", dynamic: true },
    mqtt: {
      properties: {
        qos: { type: "byte" },
        retain: { type: "boolean" },
        user_properties: { type: "flattened", depth_limit: 2, ignore_above: keywordMax },
        content_type: keyword,
        truncated: { type: "boolean" },
        payload_size: { type: "long" },
        payload_sha256: keyword,
      },
    },
    event: {
      properties: {
        created: { type: "date" },
        start: { type: "date" },
        clock: keyword,
        id: keyword,
        sequence: { type: "long" },
      },
    },
  },
};

const settings = {
  index: {
    auto_expand_replicas: "0-1",
    mapping: { ignore_malformed: true, total_fields: { limit: 2_000, ignore_dynamic_beyond_limit: true } },
  },
};

/** Where an output writes, as far as the template goes. */
export interface TemplateTarget {
  /** An index pattern such as `mqtt-%Y.%m.%d`, or the name of a data stream. */
  target: string;
  dataStream: boolean;
}

/** Its name: `sensorlog-` and what precedes the first directive of the pattern. */
export function templateName({ target }: TemplateTarget): string {
  return `sensorlog-${literalPrefix(target).replace(/[-.]+$/, "")}`;
}

/** The indices that it is for. */
export function templatePattern({ target }: TemplateTarget): string {
  const prefix = literalPrefix(target);
  return prefix === target ? target : `${prefix}*`;
}

/** The body of `PUT _index_template/NAME`. */
export function templateBody(target: TemplateTarget): Record<string, unknown> {
  const custom = `${templateName(target)}@custom`;
  return {
    index_patterns: [templatePattern(target)],
    priority,
    version: templateVersion,
    composed_of: [custom],
    ignore_missing_component_templates: [custom],
    ...(target.dataStream ? { data_stream: {} } : {}),
    template: { settings, mappings },
    _meta: {
      managed_by: managedBy,
      description: `Put by sensorlog-agent; add to it in the component template ${custom}.`,
    },
  };
}

/** A template as `GET _index_template/NAME` shows it, as far as it matters here. */
export interface TemplateOnServer {
  index_patterns?: unknown;
  version?: unknown;
  data_stream?: unknown;
  _meta?: { managed_by?: unknown };
}

/**
 * What to do about the template that the server has: `put` a missing or older one of the agent's, `keep` the same or a
 * newer one (with what a user changed in it), leave a `foreign` one alone that somebody made under this name.
 */
export function judgeTemplate(
  found: TemplateOnServer | undefined,
  target: TemplateTarget,
): "put" | "keep" | "foreign" {
  if (found === undefined) return "put";
  if (found._meta?.managed_by !== managedBy) return "foreign";
  const version = typeof found.version === "number" ? found.version : 0;
  if (version > templateVersion) return "keep";
  const patterns = Array.isArray(found.index_patterns) ? found.index_patterns : [];
  const covers = patterns.includes(templatePattern(target)) &&
    (found.data_stream !== undefined) === target.dataStream;
  return version === templateVersion && covers ? "keep" : "put";
}
