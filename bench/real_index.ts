/** The real Elasticsearch of a scenario: started when it is first needed, emptied before each side. */
import { type Elasticsearch, startElasticsearch } from "../tests/lab/elasticsearch.ts";

export class RealIndex {
  #server: Elasticsearch | undefined;

  /** Its URL, without any index of the round before. */
  async empty(): Promise<string> {
    this.#server ??= await startElasticsearch({ name: "bench" });
    const indices = await this.#server.must<{ index: string }[]>("GET", "/_cat/indices?format=json");
    for (const { index } of indices) await this.#server.must("DELETE", `/${index}`);
    return this.#server.url;
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    this.#server = undefined;
  }
}
