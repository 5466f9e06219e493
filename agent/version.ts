/** Which build this is: the number of `deno.json`, and the commit it was compiled from. */
import project from "../deno.json" with { type: "json" };

/** Put in by the compile task (`build/bundle.ts`); absent when the sources run as they are. */
declare const SENSORLOG_COMMIT: string | undefined;

/** `0.1.0+1a2b3c4`; `.changed` behind the commit: compiled from files that no commit has; `+source`: not compiled. */
export const version: string = `${project.version}+${
  typeof SENSORLOG_COMMIT === "string" ? SENSORLOG_COMMIT : "source"
}`;
