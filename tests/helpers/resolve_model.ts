/** Resolves the model of the first argument with the options of the second: for tests that need another process. */
import { resolveModelFolder } from "../../weights/hub.ts";

const [name, options] = Deno.args;
console.log(await resolveModelFolder(name!, { ...JSON.parse(options!), say: console.log }));
