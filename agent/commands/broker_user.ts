/** Not there yet. */
import { OperationError } from "../base/errors.ts";
import type { CommonOptions, Host } from "./describe.ts";

const missing = () => new OperationError({ operation: "broker", place: "this command", cause: "it is not there yet" });

export function addUser(_host: Host, _name: string, _options: CommonOptions): Promise<number> {
  return Promise.reject(missing());
}

export function removeUser(_host: Host, _name: string, _options: CommonOptions): Promise<number> {
  return Promise.reject(missing());
}

export function listUsers(_host: Host, _options: CommonOptions): Promise<number> {
  return Promise.reject(missing());
}
