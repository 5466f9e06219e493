/** Help and options of `broker user`. */
import type { Command } from "commander";
import { examples, type Finish, type Host } from "./describe.ts";

export function addBrokerUser(broker: Command, host: Host, finish: Finish): void {
  const user = broker.command("user")
    .summary("accounts of sensors at the broker")
    .description(
      "Accounts of sensors at the broker. A change reaches Mosquitto at once, and no other client loses its connection.",
    );
  addAdd(user, host, finish);
  addRemoveAndList(user, host, finish);
  examples(user, [
    ["sudo sensorlog-agent broker user add kitchen", "a sensor that writes kitchen/#"],
    ["sudo sensorlog-agent broker user list", "who there is, and when last seen"],
  ]);
}

function addAdd(user: Command, host: Host, finish: Finish): void {
  const add = user.command("add").argument("<name>", "letters, digits, . _ and -")
    .description(
      "Makes an account for a sensor, or gives one that there is a new password. It may write its own topics, NAME/# " +
        "unless --topics says others, and read nothing. Shows the password once. As root.",
    )
    .option("--topics <filter...>", "topic filters that it may write (default: NAME/#)")
    .option("--password-file <file>", "a password of your own; - for standard input")
    .option("--settings <file>", "writes what the sensor needs to connect into this file, for root only")
    .option(
      "--address <host>",
      "with --settings: name or address under which the sensor reaches this machine",
    )
    .option("--json", "the account as one JSON object, with its password when it was made here")
    .action(async (name: string, _options, command: Command) => {
      const { addUser } = await import("./broker_user.ts");
      finish(await addUser(host, name, command.optsWithGlobals<Parameters<typeof addUser>[2]>()));
    });
  examples(add, [
    ["sudo sensorlog-agent broker user add kitchen", "may write kitchen/#"],
    ["sudo sensorlog-agent broker user add s1 --topics hall/+/t 'hall/s1/#'", "other topics"],
    ["sudo sensorlog-agent broker user add s1 --settings s1.json", "everything a sensor needs, in a file"],
  ]);
}

function addRemoveAndList(user: Command, host: Host, finish: Finish): void {
  const remove = user.command("remove").argument("<name>", "of the account")
    .description(
      "Removes an account. A client that is connected with it can write nothing from then on, and does not come in " +
        "again. As root.",
    )
    .option("--json", "the result as one JSON object")
    .action(async (name: string, _options, command: Command) => {
      const { removeUser } = await import("./broker_user.ts");
      finish(await removeUser(host, name, command.optsWithGlobals<Parameters<typeof removeUser>[2]>()));
    });
  examples(remove, [
    ["sudo sensorlog-agent broker user remove kitchen", "a sensor that was stolen or sold"],
    ["sudo sensorlog-agent broker user remove kitchen --json", "for a script"],
  ]);
  const list = user.command("list")
    .description(
      "Lists the accounts: topics they may write and read, and when each was last seen, by Mosquitto's log. As root.",
    )
    .option("--json", "one JSON object per line")
    .action(async (_options, command: Command) => {
      const { listUsers } = await import("./broker_user.ts");
      finish(await listUsers(host, command.optsWithGlobals<Parameters<typeof listUsers>[1]>()));
    });
  examples(list, [
    ["sudo sensorlog-agent broker user list", "who there is, and when last seen"],
    ["sudo sensorlog-agent broker user list --json", "for a script"],
  ]);
}
