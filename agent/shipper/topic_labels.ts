/** Labels from the topic: the pattern `{area}/{machine}/+` makes of `hall/press/temperature` the labels area and machine. */

/** One level of a pattern. */
type Level = { kind: "label"; name: string } | { kind: "any" } | { kind: "rest" } | {
  kind: "word";
  word: string;
};

export type TopicPattern = readonly Level[];

/** Levels: `{name}` a label, `+` any one, `#` (at the end) any number, other words as they stand. */
export function parseTopicPattern(pattern: string): TopicPattern {
  return pattern.split("/").map((level): Level => {
    const name = /^\{([^{}]+)\}$/.exec(level)?.[1];
    if (name !== undefined) return { kind: "label", name };
    return level === "+" ? { kind: "any" } : level === "#" ? { kind: "rest" } : { kind: "word", word: level };
  });
}

/** The labels of a topic; none when it does not match. Empty levels give no label. */
export function labelsOfTopic(pattern: TopicPattern, topic: string): Record<string, string> {
  const words = topic.split("/");
  const labels: Record<string, string> = {};
  for (const [at, level] of pattern.entries()) {
    if (level.kind === "rest") return labels;
    const word = words[at];
    if (word === undefined || (level.kind === "word" && level.word !== word)) return {};
    if (level.kind === "label" && word !== "") labels[level.name] = word;
  }
  return words.length === pattern.length ? labels : {};
}
