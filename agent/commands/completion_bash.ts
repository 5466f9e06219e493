/** Completion for bash 4 and newer. */
import { operandCases, type Place, shellPattern, steps, type Value, valued } from "./completion_places.ts";

/** `name` is the program's; words are its own, so that none needs to be quoted but by '…'. */
export function bashScript(name: string, places: Place[]): string {
  const call = `_${name.replaceAll("-", "_")}`;
  const cases = (rows: string[]) => rows.map((row) => `    ${row}\n`).join("");
  const options = places.map(({ path, options }) =>
    `'${path}') words='${options.map((option) => option.name).join(" ")}' ;;`
  );
  const commands = places.filter((place) => place.commands.length > 0).map((place) =>
    `'${place.path}/0') words='${place.commands.map((command) => command.name).join(" ")}' ;;`
  );
  const operands = places.flatMap((place) =>
    operandCases(place).flatMap(({ count, value }) =>
      value === "anything" ? [] : [`'${place.path}/'${count}) ${offer(value)} ;;`]
    )
  );
  const values = valued(places);
  const known = values.flatMap(({ path, option, value }) =>
    value === "anything" ? [] : [`${shellPattern({ path, option })}) ${offer(value)} ;;`]
  );
  return `# bash completion for ${name}
${call}() {
  local current=\${COMP_WORDS[COMP_CWORD]} place='' option='' words='' files='' count=0 i word
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ $option ]]; then # its value; bash takes --option=value apart at the =
      [[ $word == = ]] || option=''
      continue
    fi
    case "$place/$word" in
${cases(steps(places).map(({ from, word, to }) => `'${from}/${word}') place='${to}' ;;`))}\
    ${values.map(shellPattern).join(" | ")}) option="$place/$word" ;;
    */-?*) ;;
    *) count=$((count + 1)) ;;
    esac
  done
  [[ $current == = ]] && current=''
  if [[ $option ]]; then
    case "$option" in
${cases(known)}    esac
  elif [[ $current == -* ]]; then
    case "$place" in
${cases(options)}    esac
  else
    case "$place/$count" in
${cases([...commands, ...operands])}    esac
  fi
  COMPREPLY=()
  if [[ $files ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  elif [[ $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}
complete -F ${call} ${name}
`;
}

function offer(value: Exclude<Value, "anything">): string {
  return value === "file" ? "files=yes" : `words='${value.choices.join(" ")}'`;
}
