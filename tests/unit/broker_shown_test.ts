import assert from "node:assert/strict";
import { machineNames } from "../../installer/broker/names.ts";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { confFiles, tlsListener } from "../../installer/broker/shown.ts";
import { FakeMachine } from "../fakes/fake_machine.ts";

function listenerOf(main: string, dropIn: string) {
  const machine = new FakeMachine();
  machine.entries.set("/etc/mosquitto/conf.d", { type: "folder", mode: 0o755, uid: 0, gid: 0 });
  machine.put("/etc/mosquitto/mosquitto.conf", main);
  machine.put(brokerPlaces.dropIn, dropIn);
  return tlsListener(confFiles(machine));
}

const include = "include_dir /etc/mosquitto/conf.d\n";
const certfile = `certfile ${brokerPlaces.certificate}\n`;

Deno.test("the broker's listener is the one with our certificate, wherever the configuration has it", () => {
  const here = "127.0.0.1";
  const cases: [string, string, { hostname: string; port: number }][] = [
    [include, `listener 8883\n${certfile}`, { hostname: here, port: 8883 }],
    [include, `listener 1883 127.0.0.1\nlistener 1884\n${certfile}`, { hostname: here, port: 1884 }],
    [`port 1883\n${certfile}${include}`, "", { hostname: here, port: 1883 }],
    [include, `listener 8884 192.168.1.46\n${certfile}`, { hostname: "192.168.1.46", port: 8884 }],
    [include, `listener 8885 ::\n${certfile}`, { hostname: here, port: 8885 }],
    ["", `listener 8884\n${certfile}`, { hostname: here, port: 8883 }],
    [include, "listener 1883\ncertfile /elsewhere.crt\n", { hostname: here, port: 1883 }],
    [include, `listener 1883\ncertfile /elsewhere.crt\nlistener 8884\n${certfile}`, {
      hostname: here,
      port: 8884,
    }],
  ];
  for (const [main, dropIn, listener] of cases) {
    assert.deepEqual(listenerOf(main, dropIn), listener, main + dropIn);
  }
});

Deno.test("a certificate is for the host's names and the addresses by which others reach it", () => {
  const addresses = ["127.0.0.1", "192.168.1.46", "fe80::1", "fd00::1", "169.254.7.7", "::1", "192.168.1.46"];
  assert.deepEqual(machineNames("pi.plant.example", addresses), [
    ...["pi.plant.example", "pi", "pi.local", "localhost", "127.0.0.1", "::1", "192.168.1.46", "fd00::1"],
  ]);
  assert.equal(machineNames().includes("localhost"), true);
});
