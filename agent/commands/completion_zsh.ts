/** Completion for zsh: a file `_NAME` of $fpath, or a script to source after compinit. */
import {
  operandCases,
  type Place,
  shellPattern,
  steps,
  type Value,
  valued,
  type Word,
} from "./completion_places.ts";

export function zshScript(name: string, places: Place[]): string {
  const call = `_${name}`;
  const cases = (rows: string[]) => rows.map((row) => `    ${row}\n`).join("");
  const options = places.map(({ path, options }) =>
    `'${path}') found=(${list(options)}); _describe -o option found ;;`
  );
  const commands = places.filter((place) => place.commands.length > 0).map((place) =>
    `'${place.path}/0') found=(${list(place.commands)}); _describe command found ;;`
  );
  const operands = places.flatMap((place) =>
    operandCases(place).map(({ count, value }) => `'${place.path}/'${count}) ${offer(value)} ;;`)
  );
  const values = valued(places);
  return `#compdef ${name}
# zsh completion for ${name}
${call}() {
  local place='' option='' word count=0 i
  local -a found
  for ((i = 2; i < CURRENT; i++)); do
    word=$words[i]
    if [[ -n $option ]]; then
      option=''
      continue
    fi
    case "$place/$word" in
${cases(steps(places).map(({ from, word, to }) => `'${from}/${word}') place='${to}' ;;`))}\
    ${values.map(shellPattern).join(" | ")}) option="$place/$word" ;;
    */-?*) ;;
    *) ((++count)) ;;
    esac
  done
  if [[ -z $option && $PREFIX == --*=* ]]; then
    option="$place/\${PREFIX%%=*}"
    compset -P '*='
  fi
  if [[ -n $option ]]; then
    case "$option" in
${
    cases(values.map(({ path, option, value }) => `${shellPattern({ path, option })}) ${offer(value)} ;;`))
  }    esac
  elif [[ $PREFIX == -* ]]; then
    case "$place" in
${cases(options)}    esac
  else
    case "$place/$count" in
${cases([...commands, ...operands])}    esac
  fi
}
if [[ $funcstack[1] == ${call} ]]; then
  ${call} "$@"
else
  compdef ${call} ${name}
fi
`;
}

/** Words with what they are about, as _describe takes them. */
function list(words: Word[]): string {
  return words.map(({ name, about }) => quoted(`${name.replaceAll(":", "\\:")}:${about}`)).join(" ");
}

function offer(value: Value): string {
  if (value === "file") return "_files";
  return value === "anything" ? "_message 'a value'" : `compadd -- ${value.choices.map(quoted).join(" ")}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
