import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import {
  hashPassword,
  makePassword,
  parsePasswords,
  passwordFault,
  passwordsText,
  verifies,
} from "../../installer/broker/passwords.ts";

const name = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/);

Deno.test("broker passwords: a hash is that of its password and of no other, and never the same twice", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme", minLength: 1 }),
      fc.string({ unit: "grapheme" }),
      (password, other) => {
        fc.pre(password !== other);
        const hash = hashPassword(password);
        assert.match(hash, /^\$7\$\d+\$[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{86}==$/);
        assert.ok(verifies(hash, password));
        assert.ok(!verifies(hash, other));
        assert.notEqual(hashPassword(password), hash);
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("broker passwords: with the salt that is there the same hash comes out", () => {
  const salt = new Uint8Array(12).fill(7);
  assert.equal(hashPassword("hunter2", salt), hashPassword("hunter2", salt));
});

Deno.test("broker passwords: hashes of older versions of Mosquitto are known too", () => {
  const salt = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  const hash = createHash("sha512").update("passwd").update(salt).digest("base64");
  const line = `$6$${salt.toBase64()}$${hash}`;
  assert.ok(verifies(line, "passwd"));
  assert.ok(!verifies(line, "passwd "));
});

Deno.test("broker passwords: what is no hash verifies nothing and throws nothing", () => {
  const parts = fc.array(
    fc.oneof(fc.constantFrom("7", "6", "", "1000", "-1", "1e9", "999999999999"), fc.base64String()),
  );
  const hashes = fc.oneof(fc.string(), parts.map((all) => `$${all.join("$")}`));
  fc.assert(fc.property(hashes, (hash) => assert.ok(!verifies(hash, "x"))), { numRuns: 300 });
});

Deno.test("broker passwords: a file is read back as it was written, comments and blank lines aside", () => {
  const hash = fc.stringMatching(/^\$7\$101\$[A-Za-z0-9+/]{4,20}\$[A-Za-z0-9+/=]{4,20}$/);
  fc.assert(fc.property(fc.array(fc.tuple(name, hash)), (entries) => {
    const accounts = new Map(entries);
    assert.deepEqual(parsePasswords(passwordsText(accounts)), accounts);
    assert.deepEqual(
      parsePasswords(`# mine\n\n${passwordsText(accounts).replaceAll("\n", "\r\n")}`),
      accounts,
    );
  }));
});

Deno.test("broker passwords: a damaged file is refused, and what may be a password is not shown", () => {
  for (const text of ["user:a b\n", "secret-without-colon\n", "a:1\na:2\n", ":hash\n"]) {
    assert.throws(() => parsePasswords(text), (error: Error) => {
      return /line [12]/.test(error.message) &&
        !/secret|a b|hash/.test(error.message.replace("NAME:HASH", ""));
    });
  }
});

Deno.test("broker passwords: new ones are long, of all letters, and fit for a command line and a C string", () => {
  const all = Array.from({ length: 400 }, makePassword);
  assert.equal(new Set(all).size, all.length);
  for (const password of all) assert.match(password, /^[A-HJ-NP-Za-km-z2-9]{24}$/);
  assert.equal(new Set(all.join("")).size, 57);
  assert.equal(passwordFault(all[0]!), undefined);
  for (const wrong of ["", "a\nb", "a\0", "x".repeat(1_025)]) assert.ok(passwordFault(wrong));
});
