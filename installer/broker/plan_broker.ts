/** `broker init` as a list of steps: what Mosquitto needs, between the agent's user and the agent itself. Pure. */
import { OperationError } from "../../agent/base/errors.ts";
import type { Machine } from "../machine.ts";
import { sumOf } from "../kinds.ts";
import type { Step } from "../plan.ts";
import { unitName, userName } from "../units.ts";
import { aclText } from "./acl.ts";
import { passwordsText } from "./passwords.ts";
import { brokerPlaces, brokerUnit } from "./places.ts";
import { brokerOnly, caKeyStep, pairStep, trustedStep } from "./rotate.ts";
import type { BrokerWish } from "./wish.ts";

export { brokerPlaces, brokerUnit } from "./places.ts";

/** Mosquitto itself. */
export const brokerPackage: Step = {
  ...{ kind: "package", id: "broker-package", what: "Debian's package mosquitto", name: "mosquitto" },
};

/** Everything of the broker's. The agent's user and the folder of its configuration come before. */
export function planBroker(wish: BrokerWish): Step[] {
  return [brokerPackage, ...folders(), ...certificates(wish), ...accountSteps(wish), ...service(wish)];
}

/** The agent's steps with those of the broker among them: what they need before, and what needs them behind. */
export function withBroker(install: Step[], broker: Step[]): Step[] {
  const before = new Set(["user", "configuration-folder"]);
  const behind = install.filter(({ id }) => !before.has(id)).map((step): Step => {
    if (step.kind !== "unit" || step.name !== unitName) return step;
    return { ...step, startAgainAfter: [...step.startAgainAfter, "ca-certificate"] };
  });
  return [...install.filter(({ id }) => before.has(id)), ...broker, ...behind];
}

/** The accounts and what each may do, as `broker user` changes them too. */
export function accountSteps(
  { accounts, topics, aclPresent }: Pick<BrokerWish, "accounts" | "topics" | "aclPresent">,
): Step[] {
  const acl = aclText(topics);
  return [
    {
      ...{
        kind: "file",
        id: "broker-acl",
        what: "what each account may read and write",
        path: brokerPlaces.acl,
      },
      ...{
        content: acl,
        access: brokerOnly,
        ...(aclPresent === undefined ? {} : { basedOn: sumOf(aclPresent) }),
      },
    },
    {
      ...{ kind: "file", id: "broker-passwords", what: "the accounts, with hashed passwords" },
      ...{ path: brokerPlaces.passwords, content: passwordsText(accounts), access: brokerOnly, secret: true },
    },
  ];
}

function folders(): Step[] {
  return [
    {
      ...{ kind: "folder", id: "broker-pki-folder", what: "the folder of the broker's CA" },
      ...{ path: brokerPlaces.pkiDir, access: { mode: 0o750, owner: "root", group: userName } },
    },
    {
      ...{ kind: "folder", id: "broker-folder", what: "the folder of what the broker reads" },
      ...{ path: brokerPlaces.dir, access: { mode: 0o750, owner: "root", group: "mosquitto" } },
    },
  ];
}

function certificates({ trusted, trustedPresent, caKey, pair }: BrokerWish): Step[] {
  return [
    ...(caKey === undefined ? [] : [caKeyStep(caKey)]),
    trustedStep([trusted], trustedPresent),
    pairStep(pair),
  ];
}

function service({ dropIn, port }: BrokerWish): Step[] {
  return [
    {
      ...{
        kind: "file",
        id: "broker-configuration",
        what: "Mosquitto's configuration, in a file of its own",
      },
      ...{
        path: brokerPlaces.dropIn,
        content: dropIn,
        access: { mode: 0o644, owner: "root", group: "root" },
      },
    },
    {
      ...{ kind: "service", id: "broker", what: `Mosquitto, started at every boot, at port ${port}`, port },
      ...{ name: brokerUnit, startAgainAfter: ["broker-configuration"] },
      reloadAfter: ["broker-certificate", "broker-acl", "broker-passwords"],
    },
  ];
}

/** Makes Mosquitto read accounts, access list and certificates again; no client loses its connection. */
export async function reloadBroker(machine: Machine): Promise<void> {
  const { code, stderr } = await machine.run("systemctl", ["reload", brokerUnit]);
  if (code === 0) return;
  throw new OperationError({
    ...{ operation: "reload the broker", place: brokerUnit },
    cause: stderr.trim() || `systemctl ended with ${code}`,
    remedy: `systemctl status ${brokerUnit}`,
  });
}
