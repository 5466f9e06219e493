/** Why no answer came, or none that can be used, in words that say what to do. Pure. */
import { errors } from "@elastic/elasticsearch";
import { OperationError, reasonOf } from "../base/errors.ts";

/** `passing`: it may be over by itself. */
interface Explanation {
  cause: string;
  remedy?: string;
  passing: boolean;
}

interface Rule {
  pattern: RegExp;
  explain: (match: RegExpExecArray) => Explanation;
}

const never = (cause: string, remedy: string) => (): Explanation => ({ cause, remedy, passing: false });
const later = (cause: string, remedy?: string) => (): Explanation => {
  return remedy === undefined ? { cause, passing: true } : { cause, remedy, passing: true };
};

/** Looked for in this order in what Deno says about a failed request. */
const rules: Rule[] = [
  {
    pattern: /not valid for name "?([^";]+)"?(?:; certificate is only valid for (.*))?/,
    explain: ([_whole, name, others]) => ({
      cause: `its certificate is not for ${name}${others === undefined ? "" : `, only for ${others}`}`,
      remedy:
        "use a URL with a name or address that the certificate holds, or have the certificate made anew",
      passing: false,
    }),
  },
  {
    pattern: /NotValidForName/,
    explain: never("its certificate is for another name", "use a URL with a name that the certificate holds"),
  },
  {
    pattern: /UnknownIssuer|CaUsedAsEndEntity|BadSignature/,
    explain: ([code]) => ({
      cause: `its certificate is not signed by a CA that is trusted (${code})`,
      remedy: "set ca_file to the certificate of the CA that signed it",
      passing: false,
    }),
  },
  {
    pattern: /certificate: (?:certificate )?expired/i,
    explain: never("its certificate has expired", "have it made anew, and check this machine's clock"),
  },
  {
    pattern: /NotValidYet|not valid yet/i,
    explain: never("its certificate is not valid yet", "check this machine's clock"),
  },
  {
    pattern: /invalid peer certificate: (.*)/,
    explain: ([_whole, what]) => ({
      cause: `its certificate is not accepted: ${what}`,
      remedy: "have it made anew",
      passing: false,
    }),
  },
  {
    pattern: /corrupt message|InvalidContentType|InvalidMessage/,
    explain: never(
      "it does not speak TLS there",
      "check the port, or write http:// if that is what you want",
    ),
  },
  {
    pattern: /fatal alert: (\w+)/,
    explain: ([_whole, alert]) => ({ cause: `it broke the TLS handshake off (${alert})`, passing: true }),
  },
  {
    pattern: /proxy authorization|407/i,
    explain: never("the proxy wants other credentials", "check proxy:"),
  },
  { pattern: /tunnel|proxy/i, explain: later("the proxy did not let the request through", "check proxy:") },
  { pattern: /Connection refused/, explain: later("connection refused", "check that it runs, and the port") },
  {
    pattern: /dns error: (?:.*: )?(.*)/,
    explain: ([_whole, what]) => ({ cause: `the name can't be resolved (${what})`, passing: true }),
  },
  {
    pattern: /(No route to host|Network is unreachable|Host is unreachable)/,
    explain: ([what]) => ({ cause: what, passing: true }),
  },
  {
    pattern: /invalid HTTP|HTTP version|invalid status/,
    explain: never("it does not speak HTTP there", "check the port, and whether it wants https://"),
  },
  {
    pattern:
      /reading a body|before message completed|reset by peer|broken pipe|unexpected end|connection closed|close_notify/i,
    explain: later("the connection broke off before the answer was whole"),
  },
];

/** What Deno's `fetch` says, without the URL, which is named elsewhere. */
function lastWords(message: string): string {
  const at = message.lastIndexOf("client error (");
  const text = at < 0 ? message : message.slice(at).replace(/^client error \(\w+\): /, "");
  return text.replace(/\s+/g, " ").slice(0, 300);
}

function explain(error: unknown): Explanation {
  if (error instanceof errors.TimeoutError) return { cause: "no answer in time", passing: true };
  if (error instanceof errors.ProductNotSupportedError) {
    const cause = "what answers there is not Elasticsearch (no X-Elastic-Product header)";
    return { cause, remedy: "check the URL", passing: false };
  }
  const message = reasonOf(error);
  for (const { pattern, explain } of rules) {
    const match = pattern.exec(message);
    if (match !== null) return explain(match);
  }
  return { cause: lastWords(message), passing: true };
}

/** The error of a request to `place` (a URL without credentials) as one of the agent's. */
export function requestFailed(place: string, error: unknown): OperationError {
  if (error instanceof OperationError) return error;
  const { cause, remedy, passing } = explain(error);
  return new OperationError({
    operation: "ask Elasticsearch",
    place,
    cause,
    ...(remedy === undefined ? {} : { remedy }),
    retryable: passing,
    from: error,
  });
}
