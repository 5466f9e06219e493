/** What can be typed, taken from the commands themselves: for the scripts that complete it. */
import type { Argument, Command, Option } from "commander";

/** What may stand in a place: one of some words, the name of a file, or what nobody can foresee. */
export type Value = { choices: readonly string[] } | "file" | "anything";

/** A word to offer, and what it is about in a few words. */
export interface Word {
  name: string;
  about: string;
}

export interface OptionWord extends Word {
  /** `-h` of `--help`. */
  short: string | undefined;
  /** Undefined: takes none. */
  value: Value | undefined;
}

/** One command. */
export interface Place {
  /** `spool ls`; the program itself is empty. */
  path: string;
  commands: Word[];
  options: OptionWord[];
  /** In order; behind the last one comes more of its kind when `more`. */
  operands: Value[];
  more: boolean;
}

/** The program, its commands, and theirs. */
export function placesOf(command: Command, path = ""): Place[] {
  const help = command.createHelp();
  const below = help.visibleCommands(command);
  const own: Place = {
    path,
    commands: below.map((one) => ({ name: one.name(), about: aboutCommand(one) })),
    options: [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)]
      .filter((option) => option.long !== undefined)
      .map(optionWord),
    operands: command.registeredArguments.map(operandValue),
    more: command.registeredArguments.at(-1)?.variadic ?? false,
  };
  return [own, ...below.flatMap((one) => placesOf(one, `${path} ${one.name()}`.trim()))];
}

/** The summary, or the description's first sentence. */
function aboutCommand(command: Command): string {
  return command.summary() || firstSentence(command.description());
}

function firstSentence(text: string): string {
  return /^.*?(?=[.:;](\s|$)| \(|$)/s.exec(text)![0].replace(/\s+/g, " ");
}

function optionWord(option: Option): OptionWord {
  const takes = option.required || option.optional;
  const value = !takes
    ? undefined
    : option.argChoices !== undefined
    ? { choices: option.argChoices }
    : /[<[]file[>\]]/.test(option.flags)
    ? "file"
    : "anything";
  return { name: option.long!, short: option.short, about: firstSentence(option.description), value };
}

function operandValue(argument: Argument): Value {
  if (argument.argChoices !== undefined) return { choices: argument.argChoices };
  return argument.name() === "file" ? "file" : "anything";
}

/** Words that go on to a command: `/spool` to `spool`, `spool/ls` to `spool ls`. */
export function steps(places: Place[]): { from: string; word: string; to: string }[] {
  return places.flatMap(({ path, commands }) =>
    commands.map(({ name }) => ({ from: path, word: name, to: `${path} ${name}`.trim() }))
  );
}

/** Options with a value; those of the program itself are the same in all commands, which is path `*`. */
export function valued(places: Place[]): { path: string; option: string; value: Value }[] {
  const everywhere = places[0]!.options.map(({ name }) => name);
  return places.flatMap(({ path, options }) =>
    options.flatMap(({ name, value }) => {
      if (value === undefined || (path !== "" && everywhere.includes(name))) return [];
      return [{ path: path === "" ? "*" : path, option: name, value }];
    })
  );
}

/** `COMMAND/OPTION` as a pattern of bash and zsh. */
export function shellPattern({ path, option }: { path: string; option: string }): string {
  return `${path === "*" ? "*" : `'${path}'`}/${option}`;
}

/** The kind of the operand that comes when `count` stand there already, for each count that makes a difference. */
export function operandCases({ operands, more }: Place): { count: string; value: Value }[] {
  return operands.map((value, at) => ({
    count: more && at === operands.length - 1 ? "*" : String(at),
    value,
  }));
}
