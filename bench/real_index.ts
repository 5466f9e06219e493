/** The real Elasticsearch of a scenario: started when it is first needed, emptied before each side. */
import { dirname } from "node:path";
import { Elasticsearch } from "../tests/lab/elasticsearch.ts";
import { freePort } from "../tests/lab/ports.ts";

export class RealIndex {
  #server: Elasticsearch | undefined;

  /** Its URL, without any index of the round before. Its files stand beside `dir`, so that they go with the work folder. */
  async empty(dir: string): Promise<string> {
    this.#server ??= await startBeside(dir);
    const indices = await this.#server.must<{ index: string }[]>("GET", "/_cat/indices?format=json");
    for (const { index } of indices) await this.#server.must("DELETE", `/${index}`);
    return this.#server.url;
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    this.#server = undefined;
  }
}

async function startBeside(dir: string): Promise<Elasticsearch> {
  const work = dirname(dir);
  const files = await Deno.makeTempDir({ dir: work, prefix: "elasticsearch-" });
  for (const folder of [work, files]) await Deno.chmod(folder, 0o711); // another user runs it
  const server = new Elasticsearch(files, freePort(), { name: "bench" });
  try {
    await server.start();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}
