import assert from "node:assert/strict";
import * as fc from "fast-check";
import { timeOf } from "../../agent/commands/time_input.ts";
import { TimeZone } from "../../agent/commands/time_zone.ts";

const nowMs = Date.UTC(2026, 5, 15, 12);
const at = (text: string, zone = "UTC") =>
  new Date(timeOf("--from", text, nowMs, TimeZone.named(zone))).toISOString();

Deno.test("export: times may be ages, dates, times with offset, or now", () => {
  const times: [string, string, string?][] = [
    ["now", "2026-06-15T12:00:00.000Z"],
    ["24h", "2026-06-14T12:00:00.000Z"],
    ["-24h", "2026-06-14T12:00:00.000Z"],
    ["7d", "2026-06-08T12:00:00.000Z"],
    ["2w", "2026-06-01T12:00:00.000Z"],
    ["1.5h", "2026-06-15T10:30:00.000Z"],
    ["90m", "2026-06-15T10:30:00.000Z"],
    ["30s", "2026-06-15T11:59:30.000Z"],
    ["2026-03-29", "2026-03-29T00:00:00.000Z"],
    ["2026-03-29", "2026-03-28T23:00:00.000Z", "Europe/Madrid"],
    ["2026-07-01T10:00", "2026-07-01T08:00:00.000Z", "Europe/Madrid"],
    ["2026-07-01 10:00:30.25", "2026-07-01T08:00:30.250Z", "Europe/Madrid"],
    ["2026-07-01T10:00Z", "2026-07-01T10:00:00.000Z", "Europe/Madrid"],
    ["2026-07-01T10:00:00-05:00", "2026-07-01T15:00:00.000Z", "Europe/Madrid"],
    ["2024-02-29T23:59:60Z", "2024-03-01T00:00:00.000Z"],
  ];
  for (const [text, expected, zone] of times) assert.equal(at(text, zone), expected, `${text} ${zone}`);
});

Deno.test("export: what is no time is refused with what is allowed", () => {
  for (
    const text of [
      "",
      "yesterday",
      "24",
      "h",
      "24x",
      "--24h",
      "29.03.2026",
      "1711670400",
      "2026-3-1",
      "2026-03-29T",
    ]
  ) {
    assert.throws(() => at(text), {
      name: "ConfigError",
      message: /^export: --from ".*": this is no time; write an age \(24h, 7d/,
    });
  }
  for (
    const text of [
      "2026-02-30",
      "2026-13-01",
      "2026-03-01T24:00",
      "2026-03-01T10:60Z",
      "2026-03-01T10:00+99:00",
    ]
  ) {
    assert.throws(() => at(text), /there is no such day or time/, text);
  }
});

Deno.test("export: a local time that a change of clocks makes unclear is refused, its offset makes it clear", () => {
  assert.throws(() => at("2026-03-29T02:30", "Europe/Madrid"), /put forward over this time/);
  assert.throws(
    () => at("2026-10-25T02:30", "Europe/Madrid"),
    /show this time twice; .*: 2026-10-25T02:30\+02:00 or 2026-10-25T02:30\+01:00/,
  );
  assert.equal(at("2026-10-25T02:30+02:00", "Europe/Madrid"), "2026-10-25T00:30:00.000Z");
  assert.equal(at("2026-10-25T02:30+01:00", "Europe/Madrid"), "2026-10-25T01:30:00.000Z");
});

Deno.test("export: a day begins with its first instant, where clocks are put forward at midnight too", () => {
  assert.equal(at("2026-04-24", "Africa/Cairo"), "2026-04-23T22:00:00.000Z"); // 00:00 → 01:00
  assert.equal(at("2026-11-01", "America/Havana"), "2026-11-01T04:00:00.000Z"); // midnight comes once, 00:59 twice
  assert.equal(at("2011-12-30", "Pacific/Apia"), "2011-12-30T10:00:00.000Z"); // a day that was left out
});

Deno.test("export: a time is written with its zone's offset and stays clear over a change of clocks", () => {
  const madrid = TimeZone.named("Europe/Madrid");
  const texts = (from: number) => [-1, 0, 1_800_000].map((ms) => madrid.text(from + ms));
  assert.deepEqual(texts(Date.UTC(2026, 2, 29, 1)), [
    "2026-03-29T01:59:59.999+01:00",
    "2026-03-29T03:00:00.000+02:00",
    "2026-03-29T03:30:00.000+02:00",
  ]);
  assert.deepEqual(texts(Date.UTC(2026, 9, 25, 1)), [
    "2026-10-25T02:59:59.999+02:00",
    "2026-10-25T02:00:00.000+01:00",
    "2026-10-25T02:30:00.000+01:00",
  ]);
  assert.equal(TimeZone.named("UTC").text(0), "1970-01-01T00:00:00.000Z");
  const monrovia = TimeZone.named("Africa/Monrovia"); // 44 min 30 s behind UTC, until a time that is no quarter of an hour
  assert.equal(monrovia.text(0), "1969-12-31T23:15:00.000-00:45");
  const change = Date.UTC(1972, 0, 7, 0, 44, 30);
  assert.deepEqual([change - 1, change].map((timeMs) => monrovia.text(timeMs)), [
    "1972-01-06T23:59:29.999-00:45",
    "1972-01-07T00:44:30.000+00:00",
  ]);
  for (const timeMs of [9e15, -8.64e15]) assert.equal(madrid.text(timeMs), String(timeMs));
});

Deno.test("export: a written time is the same instant again, in every zone", () => {
  const zones = fc.constantFrom(...Intl.supportedValuesOf("timeZone"), "UTC", "+05:45").map((name) =>
    TimeZone.named(name)
  );
  // around changes of clocks in several zones, and anywhere
  const times = fc.oneof(
    fc.integer({ min: 0, max: Date.UTC(2100, 0) }),
    fc.tuple(
      fc.constantFrom(Date.UTC(2026, 2, 29, 1), Date.UTC(2026, 9, 25, 1), Date.UTC(1972, 0, 7, 0, 44, 30)),
      fc.integer({ min: -5_000_000, max: 5_000_000 }),
    )
      .map(([change, ms]) => change + ms),
  );
  fc.assert(fc.property(zones, fc.array(times, { minLength: 1, maxLength: 20 }), (zone, list) => {
    for (const timeMs of list) {
      const text = zone.text(timeMs);
      assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)$/);
      assert.equal(Date.parse(text), timeMs, `${zone.name}: ${text}`);
      assert.equal(timeOf("--from", text, 0, zone), timeMs);
    }
  }));
});

Deno.test("export: an unknown time zone is refused, with one that is near", () => {
  assert.throws(() => TimeZone.named("Madrid"), /no such time zone; did you mean Europe\/Madrid\?/);
  assert.throws(() => TimeZone.named("Nowhere/Land"), /name one as Europe\/Madrid or UTC/);
});
