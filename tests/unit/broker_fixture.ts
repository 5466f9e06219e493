/** A broker that was set up by hand, for tests of what becomes of it. */
import type { Pair } from "../../installer/broker/pki.ts";
import { brokerUnit } from "../../installer/broker/places.ts";
import type { FakeMachine } from "../fakes/fake_machine.ts";

/** Where its files stand. */
export const byHand = {
  cafile: "/etc/mosquitto/ca.crt",
  certfile: "/etc/mosquitto/old.crt",
  keyfile: "/etc/mosquitto/old.key",
};

/** Puts its configuration and certificates there: TLS at port 1883, accounts in /etc/mosquitto/pw. */
export function putByHand(machine: FakeMachine, ca: Pair, broker: Pair): void {
  const lines = Object.entries(byHand).map(([name, path]) => `${name} ${path}\n`);
  machine.put(
    "/etc/mosquitto/mosquitto.conf",
    `listener 1883\npassword_file /etc/mosquitto/pw\n${lines.join("")}`,
  );
  machine.put(byHand.cafile, ca.certificatePem);
  machine.put(byHand.certfile, broker.certificatePem);
  machine.put(byHand.keyfile, broker.privateKeyPem, 0o600);
  machine.ports.set(brokerUnit, 1883);
}
