import { assertLimits } from "../../agent/limits.ts";

Deno.test("limits: the numbers do not contradict each other", assertLimits);
