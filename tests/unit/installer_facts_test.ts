import assert from "node:assert/strict";
import { elfOf, type Facts, isReadOnly, osOf, refusal } from "../../installer/facts.ts";

const good: Facts = {
  root: undefined,
  uid: 0,
  arch: "aarch64",
  compiled: true,
  system: { bits: 64, arch: "aarch64" },
  booted: true,
  os: { id: "debian", name: "Debian GNU/Linux 12 (bookworm)", version: "12" },
  otherBuild: false,
  rooms: [{ folder: "/usr/local/bin", freeBytes: 2e8, neededBytes: 1e8, readOnly: false }],
};

Deno.test("installer: a machine that it does not fit is left alone, with what and why and what to do", () => {
  assert.equal(refusal(good), undefined);
  const refused: [Partial<Facts>, RegExp][] = [
    [{ compiled: false }, /source.*compile it/],
    [{ system: undefined }, /no systemd.*Debian 12 or 13/],
    [{ system: undefined, root: "/mnt" }, /^\/mnt.*no systemd.*root file system/],
    [{ system: { bits: 32, arch: "arm" } }, /32-bit system.*64-bit aarch64.*install a 64-bit/],
    [{ system: { bits: 64, arch: "x86_64" }, root: "/mnt" }, /^\/mnt.*for x86_64.*sensorlog-agent-x86_64/],
    [{ booted: false }, /not started by systemd/],
    [
      { os: { id: "raspbian", name: "Raspbian GNU/Linux 11", version: "11" } },
      /Raspbian GNU\/Linux 11 is too old/,
    ],
    [{ uid: 1000 }, /user id 1000.*sudo/],
    [{ otherBuild: true }, /another build.*upgrade FILE/],
    [
      { rooms: [{ ...good.rooms[0]!, freeBytes: 1e8 - 1 }] },
      /\/usr\/local\/bin.*95\.4 MiB are free.*needed.*make room/,
    ],
    [
      { rooms: [good.rooms[0]!, { ...good.rooms[0]!, folder: "/etc", readOnly: true }] },
      /^\/etc.*read-only.*remount/,
    ],
  ];
  for (const [change, says] of refused) {
    const { place, cause, remedy } = refusal({ ...good, ...change })!;
    assert.match(`${place}: ${cause}; ${remedy}`, says);
  }
  const taken: Partial<Facts>[] = [
    { booted: undefined, root: "/mnt" },
    { os: { id: "debian", name: "Debian GNU/Linux trixie/sid", version: "" } },
    { os: { id: "ubuntu", name: "Ubuntu", version: "24.04" } },
    { rooms: [{ ...good.rooms[0]!, freeBytes: 1e8 }] },
  ];
  for (const change of taken) assert.equal(refusal({ ...good, ...change }), undefined);
});

Deno.test("installer: it knows what a system's programs are made for", () => {
  const elf = (bits: number, order: number, machine: [number, number]) =>
    new Uint8Array([0x7f, 0x45, 0x4c, 0x46, bits, order, 1, ...new Uint8Array(11), ...machine, 1, 0]);
  assert.deepEqual(elfOf(elf(2, 1, [183, 0])), { bits: 64, arch: "aarch64" });
  assert.deepEqual(elfOf(elf(2, 1, [62, 0])), { bits: 64, arch: "x86_64" });
  assert.deepEqual(elfOf(elf(1, 1, [40, 0])), { bits: 32, arch: "arm" });
  assert.deepEqual(elfOf(elf(2, 2, [0, 22])), { bits: 64, arch: "machine 22" });
  assert.equal(elfOf(elf(2, 1, [183, 0]).subarray(0, 19)), undefined);
  assert.equal(elfOf(new TextEncoder().encode("#!/bin/sh\nexec something else\n")), undefined);
  assert.equal(elfOf(undefined), undefined);
});

Deno.test("installer: os-release is read with and without quotes, and when it is missing", () => {
  assert.deepEqual(osOf('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'), {
    ...{ id: "debian", name: "Debian GNU/Linux 12 (bookworm)", version: "12" },
  });
  assert.deepEqual(osOf(""), { id: "unknown", name: "unknown", version: "" });
});

Deno.test("installer: a read-only file system is known by the mount that holds the path, the later one of two", () => {
  const mounts = [
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw",
    "23 22 8:2 / /usr ro,relatime - ext4 /dev/usr rw",
    "24 23 8:3 / /usr/local rw,relatime - ext4 /dev/local ro",
    "25 22 8:4 / /mnt/a\\040b ro - ext4 /dev/b rw",
    "26 22 8:5 / /srv ro - ext4 /dev/c rw",
    "27 26 8:6 / /srv rw - ext4 /dev/d rw",
    "",
  ].join("\n");
  const expected: [string, boolean][] = [
    ["/etc", false],
    ["/usr/bin", true],
    ["/usrx", false],
    ["/usr/local/bin", true],
    ["/mnt/a b/c", true],
    ["/srv/x", false],
    ["/", false],
  ];
  for (const [path, readOnly] of expected) assert.equal(isReadOnly(mounts, path), readOnly, path);
  assert.equal(isReadOnly("", "/etc"), false);
});
