/** What may happen, as fast-check commands. */
import fc from "fast-check";
import { changingVerbs } from "../fakes/fake_files.ts";
import type { CrashMode } from "../fakes/fake_files.ts";
import type { Qos } from "./broker.ts";
import type { World } from "./world.ts";

/** The model has no state of its own beside the world's books; every command is always possible. */
type Nothing = Record<string, never>;

class Step implements fc.AsyncCommand<Nothing, World> {
  constructor(private readonly name: string, private readonly act: (world: World) => void | Promise<void>) {}

  check(): boolean {
    return true;
  }
  async run(_model: Nothing, world: World): Promise<void> {
    await this.act(world);
  }
  toString(): string {
    return this.name;
  }
}

const step = (name: string, act: (world: World) => void | Promise<void>) => fc.constant(new Step(name, act));

const modes: CrashMode[] = ["lost", "kept", "half", "reordered", "zeroed"];
const crash = fc.record({ mode: fc.constantFrom(...modes), seed: fc.nat(1000) });

const publish = fc.constantFrom<Qos>(0, 1, 2, 2).map((qos) =>
  new Step(`publish(${qos})`, (world) => world.publish(qos))
);

const steps = [
  step("connect", (world) => world.connect()),
  step("connect slowly", (world) => world.connect(true)),
  publish,
  publish,
  publish,
  step("release", (world) => world.release()),
  step("commit", (world) => world.commit()),
  step("commit", (world) => world.commit()),
  step("commit slowly", (world) => world.commit(true)),
  step("acknowledge", (world) => world.acknowledge()),
  step("acknowledge", (world) => world.acknowledge()),
  fc.integer({ min: 1, max: 5 }).map((many) => new Step(`read(${many})`, (world) => world.read(many))),
  step("save cursor", (world) => world.consumer.save()),
  step("clean", (world) => world.clean()),
  step("lose session", (world) => world.loseSession()),
  step("kill", (world) => world.restart()),
  fc.integer({ min: 1, max: 20 }).map((at) =>
    new Step(`kill and EIO at call ${at}`, (world) => world.restart(undefined, at))
  ),
  crash.map((how) => new Step(`crash(${how.mode}, ${how.seed})`, (world) => world.restart(how))),
  fc.tuple(crash, fc.integer({ min: 1, max: 20 })).map(([how, at]) =>
    new Step(`crash(${how.mode}, ${how.seed}) and EIO at call ${at}`, (world) => world.restart(how, at))
  ),
  fc.nat(400).map((bytes) =>
    new Step(`fill but ${bytes} bytes`, ({ disk }) => void (disk.capacityBytes = usedBytes(disk) + bytes))
  ),
  step("make room", ({ disk }) => void (disk.capacityBytes = Infinity)),
  fc.integer({ min: 1, max: 4 }).map((at) =>
    new Step(`EIO at change ${at}`, ({ disk }) => disk.failAt(at, "EIO", changingVerbs))
  ),
  step(
    "the disk takes nothing and cuts nothing",
    ({ disk }) => disk.failAll("EIO", ["append", "truncate", "unlink"]),
  ),
  fc.constantFrom("syncData" as const, "syncFolder" as const).map((verb) =>
    new Step(`${verb} fails`, ({ disk }) => disk.failAt(1, "EIO", [verb]))
  ),
  step("mend the disk", ({ disk }) => disk.heal()),
];

function usedBytes(disk: World["disk"]): number {
  const { capacityBytes } = disk;
  disk.capacityBytes = Number.MAX_SAFE_INTEGER;
  const used = disk.capacityBytes - disk.roomBytes();
  disk.capacityBytes = capacityBytes;
  return used;
}

/** Sequences of steps. */
export const interleavings = fc.commands(steps, { maxCommands: 80, size: "max" });
