/** What is looked at before the first reading goes out: the server's version, the index template, the key's privileges. */
import type { Alarms } from "../base/alarms.ts";
import { OperationError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { type ElasticsearchNodes, objectOf, type Reply } from "./elasticsearch_nodes.ts";
import { judgeRefusal } from "./judge.ts";
import type { Finding } from "./output.ts";
import {
  judgeTemplate,
  templateBody,
  templateName,
  type TemplateOnServer,
  templatePattern,
  type TemplateTarget,
} from "./template.ts";

/** The oldest server that the documents and the template are tested with. */
const oldestServer = { major: 8, minor: 14 };

export interface SetupOptions {
  /** Of the output. */
  name: string;
  target: TemplateTarget;
  manageTemplate: boolean;
  alarms: Alarms;
  log: Log;
}

/** Privileges of a key that can do all that the agent does; the first two may be missing. */
const clusterPrivileges = ["monitor", "manage_index_templates"];
/** The last two both let it make the index of a new day. */
const indexPrivileges = ["create_doc", "auto_configure", "create_index"];

export class ElasticsearchSetup {
  constructor(private readonly options: SetupOptions) {}

  /** Throws OperationError when the server does not answer or lets nobody in; what is merely not as it should be is an alarm. */
  async prepare(nodes: ElasticsearchNodes, signal: AbortSignal): Promise<void> {
    this.#noteVersion(await this.#version(nodes, signal));
    if (this.options.manageTemplate) await this.#bringTemplate(nodes, signal);
  }

  /** The lines of `check`. Throws OperationError when the server does not answer. */
  async examine(nodes: ElasticsearchNodes, signal: AbortSignal): Promise<Finding[]> {
    const version = await this.#version(nodes, signal);
    const findings: Finding[] = [];
    if (version === undefined) {
      const remedy = "give the key the cluster privilege monitor";
      findings.push({
        level: "warning",
        what: `${nodes.place} answers, but its version may not be asked`,
        remedy,
      });
    } else if (isOld(version)) {
      findings.push({
        level: "warning",
        what: `${nodes.place} is Elasticsearch ${version}`,
        remedy: oldRemedy,
      });
    } else findings.push({ level: "ok", what: `${nodes.place} is Elasticsearch ${version}` });
    findings.push(...await this.#examinePrivileges(nodes, signal));
    findings.push(await this.#examineTemplate(nodes, signal));
    return findings;
  }

  /** The server's version; undefined when the key may not ask for it. */
  async #version(nodes: ElasticsearchNodes, signal: AbortSignal): Promise<string | undefined> {
    const reply = await nodes.request({ method: "GET", path: "/" }, signal);
    if (reply.status === 403) return undefined;
    mustBeWell(reply, nodes.place);
    const number = (objectOf(reply, nodes.place)["version"] as { number?: unknown } | undefined)?.number;
    return typeof number === "string" ? number : undefined;
  }

  #noteVersion(version: string | undefined): void {
    const { alarms } = this.options;
    if (version === undefined || !isOld(version)) alarms.clear("server_old");
    else this.#alarm("server_old", `the server is Elasticsearch ${version}`, oldRemedy);
  }

  async #bringTemplate(nodes: ElasticsearchNodes, signal: AbortSignal): Promise<void> {
    const { target, log, name, alarms } = this.options;
    const template = templateName(target);
    const found = await this.#findTemplate(nodes, signal);
    if (found === "forbidden") {
      return this.#alarm("template", `the key may not look at ${template}`, templateRemedy);
    }
    const judged = judgeTemplate(found, target);
    if (judged === "foreign") {
      const remedy = "rename or remove that template, or set manage_template: false";
      return this.#alarm(
        "template",
        `the index template ${template} is not the agent's; it is left alone`,
        remedy,
      );
    }
    if (judged === "put") {
      const put = {
        method: "PUT",
        path: `/_index_template/${template}`,
        json: templateBody(target),
      } as const;
      const reply = await nodes.request(put, signal);
      if (reply.status === 400 || reply.status === 403) {
        const { reason } = judgeRefusal(reply.status, reply.body);
        return this.#alarm(
          "template",
          `the index template ${template} could not be put (${reason})`,
          templateRemedy,
        );
      }
      mustBeWell(reply, nodes.place);
      log.notice(
        found === undefined ? "the index template was put" : "the index template was replaced by a newer one",
        {
          output: name,
          template,
        },
      );
    }
    alarms.clear("template");
  }

  /** The template of ours on the server; undefined when there is none. */
  async #findTemplate(
    nodes: ElasticsearchNodes,
    signal: AbortSignal,
  ): Promise<TemplateOnServer | undefined | "forbidden"> {
    const path = `/_index_template/${templateName(this.options.target)}`;
    const reply = await nodes.request({ method: "GET", path }, signal);
    if (reply.status === 404) return undefined;
    if (reply.status === 403) return "forbidden";
    mustBeWell(reply, nodes.place);
    const list = objectOf(reply, nodes.place)["index_templates"] as
      | { index_template?: TemplateOnServer }[]
      | undefined;
    return list?.[0]?.index_template;
  }

  async #examineTemplate(nodes: ElasticsearchNodes, signal: AbortSignal): Promise<Finding> {
    const template = `index template ${templateName(this.options.target)}`;
    if (!this.options.manageTemplate) {
      return { level: "ok", what: `${template}: not managed (manage_template: false)` };
    }
    const found = await this.#findTemplate(nodes, signal);
    if (found === "forbidden") {
      return { level: "warning", what: `${template}: not to be seen`, remedy: templateRemedy };
    }
    const judged = judgeTemplate(found, this.options.target);
    if (judged === "foreign") {
      return { level: "warning", what: `${template}: somebody else's`, remedy: "rename or remove it" };
    }
    return {
      level: "ok",
      what: `${template}: ${judged === "keep" ? "in place" : "will be put at the first start"}`,
    };
  }

  /** What the key may do; without security there is nothing to ask. */
  async #examinePrivileges(nodes: ElasticsearchNodes, signal: AbortSignal): Promise<Finding[]> {
    const json = {
      cluster: clusterPrivileges,
      index: [{ names: [templatePattern(this.options.target)], privileges: indexPrivileges }],
    };
    const reply = await nodes.request(
      { method: "POST", path: "/_security/user/_has_privileges", json },
      signal,
    );
    if (reply.status !== 200) return [];
    const { cluster = {}, index = {} } = objectOf(reply, nodes.place) as {
      cluster?: Record<string, boolean>;
      index?: Record<string, Record<string, boolean>>;
    };
    const granted = Object.values(index)[0] ?? {};
    const lacking = [
      ...(granted["create_doc"] ? [] : ["create_doc"]),
      ...(granted["auto_configure"] || granted["create_index"] ? [] : ["auto_configure"]),
    ];
    const wishes = clusterPrivileges.filter((one) => !cluster[one]);
    const findings: Finding[] = [];
    if (lacking.length > 0) {
      const remedy = `give it ${lacking.join(", ")} on ${templatePattern(this.options.target)}`;
      findings.push({ level: "failure", what: "the key may not write readings", remedy });
    } else findings.push({ level: "ok", what: "the key may write readings" });
    if (wishes.length > 0) {
      const remedy = `give it the cluster privileges ${wishes.join(", ")}`;
      findings.push({ level: "warning", what: "the key may not look after the server's side", remedy });
    }
    return findings;
  }

  /** An alarm, and one line in the log when it is new. */
  #alarm(code: string, text: string, remedy: string): void {
    const { alarms, log, name } = this.options;
    if (alarms.raise(code, text, remedy)) log.warning(text, { output: name, remedy });
  }
}

const oldRemedy =
  `use ${oldestServer.major}.${oldestServer.minor} or later; with older ones some readings may be refused`;
const templateRemedy =
  "give the key the cluster privilege manage_index_templates, or put the template yourself and set manage_template: false";

function isOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major < oldestServer.major || (major === oldestServer.major && minor < oldestServer.minor);
}

function mustBeWell(reply: Reply, place: string): void {
  if (reply.status >= 200 && reply.status < 300) return;
  const { kind, reason, remedy } = judgeRefusal(reply.status, reply.body);
  throw new OperationError({
    operation: "ask Elasticsearch",
    place,
    cause: reason,
    ...(remedy === undefined ? {} : { remedy }),
    retryable: kind === "retry",
  });
}
