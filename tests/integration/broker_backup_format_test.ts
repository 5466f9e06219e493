import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { OperationError } from "../../agent/base/errors.ts";
import {
  assertWhole,
  type Backup,
  type Derive,
  openBackup,
  passphraseFault,
  sealBackup,
} from "../../installer/broker/backup.ts";
import { sumOf } from "../../installer/kinds.ts";

const passphrase = "correct horse battery";
const backup: Backup = {
  made: new Date("2026-03-04T05:06:07.890Z"),
  host: "pi",
  files: new Map([["pki/ca.key", new TextEncoder().encode("a secret that nobody may read")]]),
};
const sealed = await sealBackup(backup, passphrase);
/** scrypt takes its time, which a property has not. */
const quick: Derive = (passphrase, salt) => {
  const sum = createHash("sha512").update(salt).update(passphrase).digest();
  return Promise.resolve({ key: sum.subarray(0, 32), check: sum.subarray(32, 48) });
};
const open = (bytes: Uint8Array, phrase = passphrase) => openBackup(bytes, phrase, "b.backup");
/** The sum at the end made right again, as somebody would who changes a file on purpose. */
const summed = (bytes: Uint8Array) => {
  const body = bytes.slice(0, -32);
  return Uint8Array.from([...body, ...Uint8Array.fromHex(sumOf(body))]);
};

Deno.test("backup: whatever is put in comes out, whatever the passphrase", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.string({ maxLength: 40 }), fc.uint8Array({ maxLength: 500 })), { maxLength: 8 }),
      fc.string({ unit: "grapheme", maxLength: 60 }),
      fc.string(),
      async (entries, phrase, host) => {
        const one: Backup = { made: backup.made, host, files: new Map(entries) };
        const again = await openBackup(await sealBackup(one, phrase, quick), phrase, "b.backup", quick);
        assert.deepEqual(again, one);
      },
    ),
  );
});

Deno.test("backup: nothing of its contents or its passphrase can be seen, and no two files are alike", async () => {
  const text = new TextDecoder("latin1").decode(sealed);
  for (const word of ["secret", "ca.key", "correct", backup.files.get("pki/ca.key")!.toBase64()]) {
    assert.equal(text.includes(word), false, word);
  }
  const other = await sealBackup(backup, passphrase);
  assert.notDeepEqual(sealed.slice(17, 60), other.slice(17, 60));
});

Deno.test("backup: a wrong passphrase is called that", async () => {
  for (const wrong of ["", "correct horse batterz"]) {
    await assert.rejects(open(sealed, wrong), /b\.backup: the passphrase is not that of this backup/);
  }
});

Deno.test("backup: a passphrase is the same in each form that Unicode has for it", async () => {
  const bytes = await sealBackup(backup, "contrase\u00f1a larga");
  assert.deepEqual(await open(bytes, "contrasen\u0303a larga"), backup);
});

Deno.test("backup: cut anywhere it is cut off, or empty", () => {
  for (let length = 0; length < sealed.length; length++) {
    assert.throws(
      () => assertWhole(sealed.subarray(0, length), "b.backup"),
      length === 0 ? /it is empty/ : /it is cut off/,
    );
  }
  const longer = Uint8Array.from([...sealed, 0]);
  assert.throws(() => assertWhole(longer, "b.backup"), /longer than it says/);
});

Deno.test("backup: a changed byte anywhere is found before the passphrase is asked for", () => {
  for (let at = 0; at < sealed.length; at++) {
    const changed = sealed.with(at, sealed[at]! ^ 1);
    const expected = at < 16 ? /no backup/ : at === 16 ? /has the format 0/ : /damaged|cut off|longer/;
    assert.throws(() => assertWhole(changed, "b.backup"), expected, `byte ${at}`);
  }
});

Deno.test("backup: changed on purpose, its sum made right, it is refused all the same", async () => {
  const at = { salt: 17, nonce: 33, check: 45, body: 65, tag: sealed.length - 33 };
  for (const [part, place] of Object.entries(at)) {
    const changed = summed(sealed.with(place, sealed[place]! ^ 1));
    const expected = part === "salt" || part === "check"
      ? /passphrase is not that/
      : /not what was encrypted/;
    await assert.rejects(open(changed), expected, part);
  }
});

Deno.test("backup: any other bytes are refused with an OperationError", async () => {
  await fc.assert(fc.asyncProperty(
    fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Uint8Array.from([...sealed.slice(0, 16), ...bytes])),
    ),
    async (bytes) => await assert.rejects(open(bytes), OperationError),
  ));
});

Deno.test("backup: what could not be read again is not written", async () => {
  const files = (count: number, name = "n") =>
    new Map(Array.from({ length: count }, (_, n) => [`${name}${n}`, new Uint8Array(1)] as const));
  await assert.rejects(sealBackup({ ...backup, files: files(201) }, passphrase), /201 files are too much/);
  await assert.rejects(sealBackup({ ...backup, files: files(1, "n".repeat(200)) }, passphrase), /too long/);
  const large = new Map([["n", new Uint8Array(33 * 1024 * 1024)]]);
  await assert.rejects(sealBackup({ ...backup, files: large }, passphrase), /too much/);
});

Deno.test("backup: a passphrase that is short or holds what can't be typed is refused", () => {
  assert.equal(passphraseFault("eight ch"), undefined);
  assert.match(passphraseFault("seven c")!, /shorter than 8/);
  assert.match(passphraseFault("tab\tinside it")!, /control character/);
  assert.match(passphraseFault("x".repeat(1_025))!, /longer/);
});
