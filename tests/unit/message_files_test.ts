import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { truncatedPayloadBytes } from "../../agent/limits.ts";
import { formatDefault, lineFormat, lineHeadBytesMax } from "../../installer/broker/line_format.ts";
import { type FoundMessage, MessageLines, type RefusedLine } from "../../installer/broker/message_files.ts";

type Found = FoundMessage | RefusedLine;

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const joined = (parts: Uint8Array[]) => new Uint8Array(parts.flatMap((part) => [...part]));

/** Reads bytes in pieces of these sizes, over and over. */
function read(
  bytes: Uint8Array,
  sizes = [Infinity],
  options: { format?: string; max?: number; from?: number } = {},
) {
  const { format = formatDefault, max = 1024 * 1024, from = 0 } = options;
  const lines = new MessageLines(lineFormat(format), max, from);
  const found: Found[] = [];
  for (let at = from, i = 0; at < bytes.length; i++) {
    const end = Math.min(bytes.length, at + sizes[i % sizes.length]!);
    found.push(...lines.feed(bytes.slice(at, end)));
    at = end;
  }
  return [...found, ...lines.end()];
}

const shown = (found: Found[]) =>
  found.map((one) =>
    one.kind === "refused"
      ? `refused ${one.atBytes}-${one.endBytes}`
      : `${new Date(one.timeMs).toISOString()} ${decode(one.topic)} ${JSON.stringify(decode(one.payload))}`
  );

const topics = fc.stringMatching(/^[a-zñ/0-9]{1,20}$/);
const timesS = fc.integer({ min: 0, max: 4e9 });
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
/** Any bytes; every line feed is followed by what can't begin a line. */
const payloads = fc.uint8Array({ maxLength: 60 }).map((bytes) => {
  const safe = [...bytes].flatMap((byte) => byte === 10 ? [10, 120] : [byte]);
  return Uint8Array.from(safe.at(-1) === 13 ? [...safe, 120] : safe);
});
const messages = fc.record({ timeS: timesS, topic: topics, payload: payloads });

function lineOf(
  { timeS, topic, payload }: { timeS: number; topic: string; payload: Uint8Array },
  end = "\n",
) {
  const time = new Date(timeS * 1_000).toISOString().replace(".000Z", "+0000");
  return joined([encode(`${time} ${topic} `), payload, encode(end)]);
}

Deno.test("message files: whatever the payloads hold and however the bytes come, each message is found once, in its place", () => {
  fc.assert(
    fc.property(
      fc.array(messages, { maxLength: 8 }),
      sizes,
      fc.boolean(),
      fc.boolean(),
      (list, sizes, crlf, cut) => {
        const end = crlf ? "\r\n" : "\n";
        const lines = list.map((one, at) => lineOf(one, cut && at === list.length - 1 ? "" : end));
        const found = read(joined(lines), sizes) as FoundMessage[];
        const expected = list.map(({ timeS, topic, payload }) => ({
          timeMs: timeS * 1_000,
          topic,
          payload: [...payload],
        }));
        const got = found.map(({ timeMs, topic, payload }) => ({
          timeMs,
          topic: decode(topic),
          payload: [...payload],
        }));
        assert.deepEqual(got, expected);
        let at = 0;
        for (const [i, one] of found.entries()) {
          assert.deepEqual([one.atBytes, one.endBytes], [at, at + lines[i]!.length]);
          at = one.endBytes;
        }
      },
    ),
  );
});

Deno.test("message files: read on from the end of any message, the rest is the same", () => {
  fc.assert(
    fc.property(fc.array(messages, { minLength: 1, maxLength: 6 }), sizes, fc.nat(), (list, sizes, pick) => {
      const bytes = joined(list.map((one) => lineOf(one)));
      const all = read(bytes);
      const at = pick % all.length;
      assert.deepEqual(read(bytes, sizes, { from: all[at]!.endBytes }), all.slice(at + 1));
    }),
  );
});

Deno.test("message files: bytes of any kind never throw, and every byte belongs to one message or one refused line", () => {
  const hostile = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc.constantFrom(
      "2020-03-27T10:15:02+0100",
      " ",
      "\n",
      "\r\n",
      "\0",
      "/a/b ",
      "2020-13-99T99:99:99+9999 x y\n",
      "+ ",
      "# ",
    )
      .map(encode),
    messages.map((one) => lineOf(one)),
  );
  fc.assert(fc.property(fc.array(hostile, { maxLength: 20 }), sizes, (parts, sizes) => {
    const bytes = joined(parts);
    const found = read(bytes, sizes, { max: 16 });
    assert.deepEqual(found, read(bytes, [Infinity], { max: 16 }));
    let at = 0;
    for (const one of found) {
      assert.equal(one.atBytes, at);
      assert.ok(one.endBytes > one.atBytes);
      at = one.endBytes;
    }
    assert.equal(at, bytes.length);
  }));
});

Deno.test("message files: a payload that is too large is kept in part with its size and sum, and takes no more memory", () => {
  const big = new Uint8Array(5 * 1024 * 1024).fill(65);
  big[1_000_000] = 10;
  const line = (text: string) => encode(`2020-03-27T10:15:02+0100 t ${text}\n`);
  const bytes = new Uint8Array(
    [...line("1"), ...line("").subarray(0, -1)].length + big.length + 1 + line("2").length,
  );
  let at = 0;
  for (const part of [line("1"), line("").subarray(0, -1), big, encode("\n"), line("2")]) {
    bytes.set(part, at);
    at += part.length;
  }
  const [one, two, three] = read(bytes, [70_001], { max: 100_000 }) as FoundMessage[];
  assert.equal(decode(one!.payload), "1");
  assert.deepEqual(two!.payload, big.subarray(0, truncatedPayloadBytes));
  assert.equal(two!.whole!.bytes, big.length);
  assert.deepEqual(
    new Uint8Array(two!.whole!.sha256),
    new Uint8Array(createHash("sha256").update(big).digest()),
  );
  assert.equal(decode(three!.payload), "2");
});

Deno.test("message files: a line without end and without a message is passed over, and the next one is found", () => {
  const garbage = new Uint8Array(3 * lineHeadBytesMax).fill(120);
  const bytes = joined([garbage, encode("\n"), lineOf({ timeS: 1, topic: "t", payload: encode("1") })]);
  assert.deepEqual(shown(read(bytes, [10_000])), [
    `refused 0-${garbage.length + 1}`,
    `1970-01-01T00:00:01.000Z t "1"`,
  ]);
});

Deno.test("message files: what belongs to a payload and what does not", () => {
  const line = "2020-03-27T10:15:02+0100 /feeds/0/temp";
  const cases: [string, string[]][] = [
    ["", []],
    [`${line} 21.5\n`, [`2020-03-27T09:15:02.000Z /feeds/0/temp "21.5"`]],
    [`${line} 21.5`, [`2020-03-27T09:15:02.000Z /feeds/0/temp "21.5"`]],
    [`${line} \n`, [`2020-03-27T09:15:02.000Z /feeds/0/temp ""`]],
    [`${line} a b  c \r\n`, [`2020-03-27T09:15:02.000Z /feeds/0/temp "a b  c "`]],
    [`${line} one\n\ntwo\r\nthree\r\n`, [`2020-03-27T09:15:02.000Z /feeds/0/temp "one\\n\\ntwo\\r\\nthree"`]],
    ["rest of another file\n" + `${line} 1\n`, [
      "refused 0-21",
      `2020-03-27T09:15:02.000Z /feeds/0/temp "1"`,
    ]],
    [`${line}\n`, ["refused 0-39"]],
    [`2020-02-30T10:15:02+0100 t 1\n`, ["refused 0-29"]],
    [`2020-03-27T10:15:02+0100 a/# 1\n`, ["refused 0-31"]],
  ];
  for (const [text, expected] of cases) assert.deepEqual(shown(read(encode(text))), expected, text);
});

Deno.test("message files: formats of other scripts are read as mosquitto_sub writes them", () => {
  const local = new Date(2020, 2, 27, 10, 15, 2).toISOString();
  const cases: [format: string, line: string, expected: string][] = [
    ["%U %t %p", "1585300502.123456789 a/b 1", `2020-03-27T09:15:02.123Z a/b "1"`],
    ["%t;%I;%p", "a b;2020-03-27T10:15:02+0100;x;y", `2020-03-27T09:15:02.000Z a b "x;y"`],
    [
      "@Y-@m-@d @H:@M:@S.@N@z [%q%r] %t: %p",
      "2020-03-27 10:15:02.500000000+0100 [11] a: 1",
      `2020-03-27T09:15:02.500Z a "1"`,
    ],
    ["@F @T %t\\t%p", "2020-03-27 10:15:02 a b\tc", `${local} a b "c"`],
    ["@s %% @@ %m %l %t %p", "1585300502 % @ 7 2 t 21", `2020-03-27T09:15:02.000Z t "21"`],
    ["%I ñ%t (%p", "2020-03-27T10:15:02Z ñt (1", `2020-03-27T10:15:02.000Z t "1"`],
  ];
  for (const [format, line, expected] of cases) {
    assert.deepEqual(shown(read(encode(`${line}\n`), [7], { format })), [expected], format);
  }
  const [flagged] = read(encode("1 2 1 t 5\n"), [Infinity], { format: "%U %q %r %t %p" }) as FoundMessage[];
  assert.deepEqual([flagged!.qos, flagged!.retain], [2, true]);
});

Deno.test("message files: a format that lines can't be read by is refused with the reason", () => {
  const cases: [string, RegExp][] = [
    ["%t %p", /no whole time/],
    ["@Y-@m-@d %t %p", /no whole time/],
    ["%I %p", /no topic/],
    ["%I %t", /no payload/],
    ["%I %p %t", /behind the payload/],
    ["%I %t%p", /nothing stands between/],
    ["%I %t%q %p", /nothing stands between/],
    ["%I %t %t %p", /twice/],
    ["%J", /%J can't be read back/],
    ["%I %t %x %p", /%x can't be read back/],
    ["%I @B %t %p", /@B can't be read back/],
    ["%I \\n %t %p", /\\n can't be read back/],
    ["%I %t %", /% can't be read back/],
    ["", /no topic/],
  ];
  for (const [format, reason] of cases) assert.throws(() => lineFormat(format), reason, format);
});
