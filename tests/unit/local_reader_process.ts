/** Reads a store as the user nobody, and prints how many readings it has, or why not. Started by root. */
import { StoreReader } from "../../agent/shipper/local_reader.ts";

const id = { parameters: ["u32"], result: "i32" } as const;
const libc = Deno.dlopen("libc.so.6", { setgid: id, setuid: id });
libc.symbols.setgid(65_534);
libc.symbols.setuid(65_534);
try {
  const reader = StoreReader.open(Deno.args[0]!);
  console.log(reader.count({}));
  reader.close();
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
}
