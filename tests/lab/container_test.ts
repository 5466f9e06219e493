import assert from "node:assert/strict";
import { Container } from "./container.ts";

Deno.test("lab: a container boots a systemd, talks to this machine, and comes back after a power cut", async () => {
  await using container = await Container.create();
  await container.boot();
  assert.equal((await container.succeed("systemctl", ["is-active", "mosquitto"])).trim(), "active");
  const server = Deno.serve(
    { hostname: container.hostAddress, port: 0, onListen() {} },
    () => new Response("here"),
  );
  const { port } = server.addr;
  const ask =
    `exec 3<>/dev/tcp/${container.hostAddress}/${port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`;
  assert.match(await container.succeed("bash", ["-c", ask]), /here$/);
  await server.shutdown();
  assert.equal((await container.finish("sh", ["-c", "cat; exit 3"], { stdin: "in" })).code, 3);

  await container.succeed("sh", ["-c", "echo kept > /var/lib/kept"]);
  const machineId = await container.succeed("cat", ["/etc/machine-id"]);
  await container.kill();
  await container.boot();
  assert.equal(await container.succeed("cat", ["/var/lib/kept"]), "kept\n");
  assert.equal(await container.succeed("cat", ["/etc/machine-id"]), machineId);
  await container.powerOff();
});
