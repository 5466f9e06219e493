/** Completion for fish 3 and newer. */
import { operandCases, type Place, steps, type Value, valued } from "./completion_places.ts";

export function fishScript(name: string, places: Place[]): string {
  const at = `__${name.replaceAll("-", "_")}_at`;
  const lines = places.flatMap((place) => {
    const here = `complete -c ${name} -n ${quoted(`${at} ${quoted(place.path)}`)}`;
    const counted = (count: string) =>
      count === "*" ? here : `complete -c ${name} -n ${quoted(`${at} ${quoted(place.path)} ${count}`)}`;
    return [
      ...place.commands.map((word) => `${counted("0")} -a ${quoted(word.name)} -d ${quoted(word.about)}`),
      ...operandCases(place).flatMap(({ count, value }) =>
        value === "anything" ? [] : [`${counted(count)} ${offer(value)}`]
      ),
      ...place.options.map(({ name, short, value, about }) => {
        const letter = short === undefined ? "" : ` -s ${short.slice(1)}`;
        const takes = value === undefined
          ? ""
          : ` ${value === "file" ? "-r" : "-x"} ${offer(value)}`.trimEnd();
        return `${here} -l ${name.slice(2)}${letter}${takes} -d ${quoted(about)}`;
      }),
    ];
  });
  const walk = steps(places).map(({ from, word, to }) =>
    `            case ${quoted(`${from}/${word}`)}\n                set place ${quoted(to)}\n`
  );
  const takers = valued(places).map(({ path, option }) => quoted(`${path}/${option}`)).join(" ");
  return `# fish completion for ${name}

# whether the command that is typed is this one, with so many operands if that is given
function ${at} -a wanted operands
    set -l place ''
    set -l count 0
    set -l value no
    for word in (commandline -opc)[2..]
        if test $value = yes
            set value no
            continue
        end
        switch "$place/$word"
${walk.join("")}            case ${takers}
                set value yes
            case '*/-?*' '*/--*'
            case '*'
                set count (math $count + 1)
        end
    end
    test "$place" = "$wanted"; and test -z "$operands" -o "$count" = "$operands"
end

complete -c ${name} -f
${lines.join("\n")}
`;
}

function offer(value: Value): string {
  if (value === "file") return "-F";
  return value === "anything" ? "" : `-a ${quoted(value.choices.join(" "))}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
