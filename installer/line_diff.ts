/** What two texts differ in, line by line. */

export interface DiffLine {
  sign: " " | "-" | "+";
  text: string;
}

/** Beyond so many pairs of lines the middle counts as wholly changed: a configuration has some dozens. */
const pairsMax = 4_000_000;

/** All lines of both texts in order; those with ` ` and `-` are the old text, those with ` ` and `+` the new one. */
export function lineDiff(before: string, after: string): DiffLine[] {
  const [old, next] = [linesOf(before), linesOf(after)];
  let head = 0;
  while (head < old.length && head < next.length && old[head] === next[head]) head++;
  let tail = 0;
  const least = Math.min(old.length, next.length) - head;
  while (tail < least && old[old.length - 1 - tail] === next[next.length - 1 - tail]) tail++;
  const same = (lines: string[]): DiffLine[] => lines.map((text) => ({ sign: " ", text }));
  return [
    ...same(old.slice(0, head)),
    ...middle(old.slice(head, old.length - tail), next.slice(head, next.length - tail)),
    ...same(old.slice(old.length - tail)),
  ];
}

/** Longest common subsequence, by its lengths from the end. */
function middle(old: string[], next: string[]): DiffLine[] {
  const removed = (lines: string[]): DiffLine[] => lines.map((text) => ({ sign: "-", text }));
  const added = (lines: string[]): DiffLine[] => lines.map((text) => ({ sign: "+", text }));
  if (old.length * next.length > pairsMax) return [...removed(old), ...added(next)];
  const width = next.length + 1;
  const common = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = next.length - 1; j >= 0; j--) {
      const at = i * width + j;
      common[at] = old[i] === next[j]
        ? common[at + width + 1]! + 1
        : Math.max(common[at + width]!, common[at + 1]!);
    }
  }
  const lines: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < old.length && j < next.length) {
    if (old[i] === next[j]) {
      lines.push({ sign: " ", text: old[i]! });
      i++;
      j++;
    } else if (common[(i + 1) * width + j]! >= common[i * width + j + 1]!) {
      lines.push({ sign: "-", text: old[i++]! });
    } else lines.push({ sign: "+", text: next[j++]! });
  }
  return [...lines, ...removed(old.slice(i)), ...added(next.slice(j))];
}

/** Only what changed, with `around` lines before and behind; `…` stands for what is left out. */
export function shortDiff(before: string, after: string, around = 2): string[] {
  const lines = lineDiff(before, after);
  const near = lines.map((_, at) =>
    lines.slice(Math.max(0, at - around), at + around + 1).some(({ sign }) => sign !== " ")
  );
  return lines.flatMap(({ sign, text }, at) => {
    if (near[at]) return [`${sign} ${text}`];
    return at > 0 && near[at - 1] ? ["…"] : [];
  });
}

/** A last line that does not end counts as another one than the same that does. */
function linesOf(text: string): string[] {
  if (text === "") return [];
  const lines = text.split("\n");
  if (lines.at(-1) === "") return lines.slice(0, -1);
  return [...lines.slice(0, -1), `${lines.at(-1)} (no line feed at the end)`];
}
