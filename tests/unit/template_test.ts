import assert from "node:assert/strict";
import {
  judgeTemplate,
  templateBody,
  templateName,
  templatePattern,
  templateVersion,
} from "../../agent/shipper/template.ts";

const daily = { target: "mqtt-%Y.%m.%d", dataStream: false };
const stream = { target: "mqtt-plant", dataStream: true };

Deno.test("template: name and pattern follow the index's name before the first %", () => {
  assert.deepEqual([templateName(daily), templatePattern(daily)], ["sensorlog-mqtt", "mqtt-*"]);
  assert.deepEqual([templateName(stream), templatePattern(stream)], ["sensorlog-mqtt-plant", "mqtt-plant"]);
  const single = { target: "readings", dataStream: false };
  assert.deepEqual([templateName(single), templatePattern(single)], ["sensorlog-readings", "readings"]);
});

Deno.test("template: only a data stream's has data_stream, and users add by a component template", () => {
  assert.deepEqual(templateBody(stream)["data_stream"], {});
  assert.equal("data_stream" in templateBody(daily), false);
  assert.deepEqual(templateBody(daily)["composed_of"], ["sensorlog-mqtt@custom"]);
  assert.deepEqual(templateBody(daily)["ignore_missing_component_templates"], ["sensorlog-mqtt@custom"]);
});

Deno.test("template: a missing or older one is put, the same or a newer one kept with what a user changed in it", () => {
  const own = templateBody(daily);
  assert.equal(judgeTemplate(undefined, daily), "put");
  assert.equal(judgeTemplate(own, daily), "keep");
  assert.equal(
    judgeTemplate({ ...own, template: { settings: { changed: true } } } as typeof own, daily),
    "keep",
  );
  assert.equal(judgeTemplate({ ...own, version: templateVersion - 1 }, daily), "put");
  assert.equal(judgeTemplate({ ...own, version: templateVersion + 1 }, daily), "keep");
  assert.equal(judgeTemplate({ ...own, version: "odd" }, daily), "put");
});

Deno.test("template: one that covers other indices is put anew, one of somebody else's left alone", () => {
  const own = templateBody(daily);
  assert.equal(judgeTemplate({ ...own, index_patterns: ["other-*"] }, daily), "put");
  assert.equal(judgeTemplate({ ...own, data_stream: {} }, daily), "put");
  assert.equal(judgeTemplate({ ...own, _meta: {} }, daily), "foreign");
  assert.equal(judgeTemplate({}, daily), "foreign");
});
