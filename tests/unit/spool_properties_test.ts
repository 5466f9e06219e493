/** Typed properties: what is written comes back, and nothing that is not well formed does harm. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  decodeProperties,
  decodeUserProperty,
  encodeNumberProperty,
  encodeProperty,
  encodeUserProperty,
  findNumberProperty,
  findProperty,
  propertyTypes,
} from "../../agent/spool/properties.ts";

const joined = (parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

Deno.test("properties: any list comes back as it was, types that nobody knows too", () => {
  const fields = { type: fc.integer({ min: 0, max: 65_535 }), value: fc.uint8Array({ maxLength: 50 }) };
  const properties = fc.record(fields, { noNullPrototype: true });
  fc.assert(fc.property(fc.array(properties, { maxLength: 8 }), (list) => {
    const bytes = joined(list.map(({ type, value }) => encodeProperty(type, value)));
    assert.deepEqual([...decodeProperties(bytes)], list);
    for (const { type } of list) {
      assert.deepEqual(findProperty(bytes, type), list.find((one) => one.type === type)!.value);
    }
    assert.equal(findProperty(bytes, 70_000), undefined);
  }));
});

Deno.test("properties: numbers of 1, 4 and 8 bytes", () => {
  for (
    const [value, size] of [[1, 1], [4_000_000_000, 4], [Date.UTC(2026, 0, 1), 8], [2 ** 52 + 1, 8], [
      0,
      8,
    ]] as const
  ) {
    const bytes = encodeNumberProperty(propertyTypes.fullSize, value, size);
    assert.equal(bytes.length, 6 + size);
    assert.equal(findNumberProperty(bytes, propertyTypes.fullSize), value);
  }
  assert.equal(findNumberProperty(encodeProperty(4, new Uint8Array(9)), 4), undefined);
  assert.equal(findNumberProperty(encodeProperty(4, new Uint8Array(0)), 4), undefined);
  assert.equal(findNumberProperty(new Uint8Array(0), 4), undefined);
});

Deno.test("properties: user properties keep key and value apart, empty and long ones too", () => {
  for (
    const [key, value] of [["unit", "C"], ["", ""], ["k".repeat(65_535), "v".repeat(65_535)], [
      "ä",
      "€",
    ]] as const
  ) {
    const bytes = encodeUserProperty(new TextEncoder().encode(key), new TextEncoder().encode(value));
    const pair = decodeUserProperty(findProperty(bytes, propertyTypes.user)!)!;
    assert.deepEqual([new TextDecoder().decode(pair.key), new TextDecoder().decode(pair.value)], [
      key,
      value,
    ]);
  }
  assert.equal(decodeUserProperty(Uint8Array.of(1)), undefined);
  assert.equal(decodeUserProperty(Uint8Array.of(9, 0, 1, 2)), undefined);
});

Deno.test("properties: no bytes whatever make the decoder throw or give more than there is", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    const total = [...decodeProperties(bytes)].reduce((sum, { value }) => sum + 6 + value.length, 0);
    assert.ok(total <= bytes.length);
  }));
  const cut = encodeProperty(1, new Uint8Array(10)).subarray(0, 12);
  assert.deepEqual([...decodeProperties(cut)], []);
});
