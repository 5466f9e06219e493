/** Not there yet. */
import { OperationError } from "../base/errors.ts";
import type { CommonOptions, Host } from "./describe.ts";

const missing = () => new OperationError({ operation: "broker", place: "this command", cause: "it is not there yet" });

export function brokerInit(_host: Host, _options: CommonOptions): Promise<number> {
  return Promise.reject(missing());
}
