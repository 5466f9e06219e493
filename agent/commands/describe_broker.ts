/** Help and options of `broker`. */
import { type Command, Option } from "commander";
import { examples, type Finish, type Host } from "./describe.ts";
import { addBrokerUser } from "./describe_broker_user.ts";

export function addBroker(program: Command, host: Host, finish: Finish): void {
  const broker = program.command("broker")
    .summary("Mosquitto on this machine: certificates, accounts, backup")
    .description(
      "Mosquitto on this machine with TLS, certificates of a CA of its own, and an account for each sensor. Its " +
        "packaged configuration is never edited.",
    );
  addInit(broker, host, finish);
  addAdopt(broker, host, finish);
  addBrokerUser(broker, host, finish);
  addRotate(broker, host, finish);
  addFingerprint(broker, host, finish);
  addBackup(broker, host, finish);
  addRestore(broker, host, finish);
  examples(broker, [
    ["sudo sensorlog-agent broker init", "Mosquitto with TLS, and the agent connected to it"],
    ["sudo sensorlog-agent broker user add kitchen", "an account for a sensor; shows its password once"],
  ]);
}

function addInit(broker: Command, host: Host, finish: Finish): void {
  const init = broker.command("init")
    .summary("sets Mosquitto up: TLS, accounts, certificates")
    .description(
      "Sets Mosquitto up on this machine: installs its package when it is missing, makes a CA and the broker's " +
        "certificate, listens on port 8883 with TLS only, lets nobody in without an account, and connects the agent. A " +
        "copy with the new configuration is tried on another port before the real one is started again. Run again, it " +
        "does what is missing and changes nothing else. Refused while the clock is wrong, and where Mosquitto was set " +
        "up by hand: there `broker adopt` takes over. As root.",
    )
    .option("--name <name...>", "more names or addresses under which sensors reach this machine")
    .option(
      "--keep-qos",
      "delivers at the QoS a reading was published with; without it, all readings are kept for clients that are away, " +
        "those of QoS 0 too",
    )
    .option("--no-keep-qos", "takes --keep-qos back")
    .option("--dry-run", "shows what would be done, and what would change in each file; changes nothing")
    .option("--yes", "installs the Debian package without asking")
    .option("--json", "one JSON object per step; asks nothing")
    .action(async (_options, command: Command) => {
      const { brokerInit } = await import("./broker_init.ts");
      finish(await brokerInit(host, command.optsWithGlobals<Parameters<typeof brokerInit>[1]>()));
    });
  examples(init, [
    ["sudo sensorlog-agent broker init --dry-run", "to see before what it does"],
    ["sudo sensorlog-agent broker init --name broker.plant.example 192.168.1.46", "in the certificate, too"],
  ]);
}

function addAdopt(broker: Command, host: Host, finish: Finish): void {
  const adopt = broker.command("adopt")
    .summary("takes over a Mosquitto that was set up by hand, with all its sensors")
    .description(
      "Finds a Mosquitto that was set up by hand with password file and TLS, and the services that stored its messages " +
        "and shipped them. Keeps CA, certificate, key, accounts and port, so that no sensor has to be touched; stops the " +
        "old services and cron job (kept for --undo); reads message files that were not shipped yet. As root.",
    )
    .option("--dry-run", "shows what was found and what would be done; changes nothing")
    .option("--undo", "brings the old installation back to work")
    .option("--format <format>", "of a line of the message files, as mosquitto_sub -F has it")
    .option("--no-import", "leaves the message files unread")
    .option("--yes", "does not ask")
    .option("--json", "one JSON object per step; asks nothing")
    .action(async (_options, command: Command) => {
      const { brokerAdopt } = await import("./broker_adopt.ts");
      finish(await brokerAdopt(host, command.optsWithGlobals<Parameters<typeof brokerAdopt>[1]>()));
    });
  examples(adopt, [
    ["sudo sensorlog-agent broker adopt --dry-run", "to see before what it finds and does"],
    ["sudo sensorlog-agent broker adopt", "sensors go on as they are"],
    ["sudo sensorlog-agent broker adopt --undo", "back to what was there"],
  ]);
}

function addRotate(broker: Command, host: Host, finish: Finish): void {
  const phases = new Option("--ca <phase>", "a new CA, in three phases").choices([
    "begin",
    "switch",
    "finish",
  ]);
  const rotate = broker.command("rotate")
    .summary("renews the broker's certificate, its key, or its CA")
    .description(
      "Renews the broker's certificate and keeps its key, so that what clients trust, CA or key, goes on. With --key " +
        "the key is new, too. With --ca the CA is new, in three phases: begin lets clients trust both, switch uses the " +
        "new one, finish drops the old one; each says what must have happened before. As root.",
    )
    .option("--key", "a new key as well: clients that pin it have to be told")
    .addOption(phases)
    .option("--name <name...>", "more names or addresses under which sensors reach this machine")
    .option("--dry-run", "shows what would be done; changes nothing")
    .option("--yes", "does not ask")
    .option("--json", "one JSON object per step; asks nothing")
    .action(async (_options, command: Command) => {
      const { brokerRotate } = await import("./broker_rotate.ts");
      finish(await brokerRotate(host, command.optsWithGlobals<Parameters<typeof brokerRotate>[1]>()));
    });
  examples(rotate, [
    ["sudo sensorlog-agent broker rotate", "before the certificate ends"],
    ["sudo sensorlog-agent broker rotate --ca begin", "the first of three phases"],
  ]);
}

function addFingerprint(broker: Command, host: Host, finish: Finish): void {
  const fingerprint = broker.command("fingerprint")
    .summary("what a sensor compares the broker's certificate with")
    .description(
      "Shows SHA-1 and SHA-256 of the broker's certificate and the pin of its public key (SHA-256 of its " +
        "SubjectPublicKeyInfo in base64). The pin stays the same over `broker rotate`.",
    )
    .option("--json", "as one JSON object")
    .action(async (_options, command: Command) => {
      const { brokerFingerprint } = await import("./broker_fingerprint.ts");
      finish(
        await brokerFingerprint(host, command.optsWithGlobals<Parameters<typeof brokerFingerprint>[1]>()),
      );
    });
  examples(fingerprint, [
    ["sudo sensorlog-agent broker fingerprint", "for a sensor that is programmed with it"],
    ["sudo sensorlog-agent broker fingerprint --json", "for a script"],
  ]);
}

function addBackup(broker: Command, host: Host, finish: Finish): void {
  const backup = broker.command("backup").argument("<file>", "where to write it")
    .summary("CA, keys, accounts and configuration in one encrypted file")
    .description(
      "Writes CA, keys, accounts and configuration of the broker into one file, encrypted with a passphrase. With it " +
        "another machine takes this one's place without any sensor being touched. As root.",
    )
    .option("--passphrase-file <file>", "file with the passphrase; - for standard input (default: asks)")
    .option("--json", "the result as one JSON object; asks nothing")
    .action(async (file: string, _options, command: Command) => {
      const { brokerBackup } = await import("./broker_backup.ts");
      finish(await brokerBackup(host, file, command.optsWithGlobals<Parameters<typeof brokerBackup>[2]>()));
    });
  examples(backup, [
    ["sudo sensorlog-agent broker backup /media/stick/broker.backup", "asks for a passphrase"],
    ["sudo sensorlog-agent broker backup b.backup --passphrase-file -", "from standard input"],
  ]);
}

function addRestore(broker: Command, host: Host, finish: Finish): void {
  const restore = broker.command("restore").argument("<file>", "what `broker backup` has written")
    .summary("brings a backup of the broker back, on this machine or a new one")
    .description(
      "Brings CA, keys, accounts and configuration of a backup back, and sets Mosquitto up with them as `broker init` " +
        "does. Sensors connect as before when they reach this machine under the old name or address. As root.",
    )
    .option("--passphrase-file <file>", "file with the passphrase; - for standard input (default: asks)")
    .option("--replace", "also over a broker with another CA, and over files that you have edited")
    .option("--dry-run", "shows what would be done; changes nothing")
    .option("--yes", "does not ask")
    .option("--json", "one JSON object per step; asks nothing")
    .action(async (file: string, _options, command: Command) => {
      const { brokerRestore } = await import("./broker_backup.ts");
      finish(await brokerRestore(host, file, command.optsWithGlobals<Parameters<typeof brokerRestore>[2]>()));
    });
  examples(restore, [
    ["sudo sensorlog-agent broker restore /media/stick/broker.backup", "asks for the passphrase"],
    ["sudo sensorlog-agent broker restore b.backup --dry-run", "to see before what it does"],
  ]);
}
