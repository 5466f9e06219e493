import { ElasticsearchOutput } from "../../agent/shipper/elasticsearch.ts";
import { type Destination, testOutput } from "../contract/output_contract.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { sharedElasticsearch } from "../lab/elasticsearch.ts";
import { commonSettings, elasticsearchSettings } from "./elasticsearch_fixture.ts";
import { FaultProxy } from "./elasticsearch_proxy.ts";

/** Indices, or a data stream, of the shared server, behind a proxy that can be taken away. */
function destination(
  prefix: string,
  where: { index: string } | { dataStream: string },
): () => Promise<Destination> {
  return async () => {
    const server = await sharedElasticsearch();
    const proxy = await new FaultProxy(server.url).up();
    const name = "index" in where ? where.index : where.dataStream;
    // a field that a user has added to the template, and that not every payload fits in
    const bad = { type: "ip", ignore_malformed: false };
    await server.must("PUT", `/_component_template/sensorlog-${prefix}@custom`, {
      template: { mappings: { properties: { values: { properties: { bad } } } } },
    });
    return {
      make: () => {
        const urls = [proxy.url.replace("http://", "http://user:pass-word@")];
        const settings = elasticsearchSettings({ urls, index: undefined, ...where });
        return new ElasticsearchOutput(settings, commonSettings(), new MemoryLog());
      },
      target: name,
      arrived: async () => (await server.documents(`${prefix}*`)).map((found) => found._id),
      down: () => proxy.down(),
      up: async () => void await proxy.up(),
      refused: '{"bad":5}',
      end: () => proxy.down(),
    };
  };
}

testOutput(
  "Elasticsearch, daily indices",
  destination("contract-index", { index: "contract-index-%Y.%m.%d" }),
);
testOutput("Elasticsearch, a data stream", destination("contract-stream", { dataStream: "contract-stream" }));
