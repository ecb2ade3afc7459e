import { assertEquals } from "@std/assert";
import { hubOptionsFromEnv } from "../../weights/hub_options.ts";

function optionsOf(variables: Record<string, string>) {
  return hubOptionsFromEnv(new Map(Object.entries({ HOME: "/home/u", ...variables })));
}

Deno.test("hubOptionsFromEnv() finds the cache and the token where Python does", () => {
  assertEquals(optionsOf({}), {
    endpoint: undefined,
    token: undefined,
    tokenFile: "/home/u/.cache/huggingface/token",
    cacheDir: "/home/u/.cache/huggingface/hub",
    offline: false,
  });
  const xdg = optionsOf({ XDG_CACHE_HOME: "/c" });
  assertEquals([xdg.cacheDir, xdg.tokenFile], ["/c/huggingface/hub", "/c/huggingface/token"]);
  const home = optionsOf({ XDG_CACHE_HOME: "/c", HF_HOME: "/hf" });
  assertEquals([home.cacheDir, home.tokenFile], ["/hf/hub", "/hf/token"]);
  const exact = optionsOf({ HF_HOME: "/hf", HF_HUB_CACHE: "/cache", HF_TOKEN_PATH: "/secret" });
  assertEquals([exact.cacheDir, exact.tokenFile], ["/cache", "/secret"]);
  assertEquals(hubOptionsFromEnv(new Map()).cacheDir, undefined);
});

Deno.test("hubOptionsFromEnv() takes endpoint, token and offline mode", () => {
  const { endpoint, token } = optionsOf({ HF_ENDPOINT: "http://mirror", HF_TOKEN: " hf_x\n" });
  assertEquals([endpoint, token], ["http://mirror", "hf_x"]);
  assertEquals(optionsOf({ HF_TOKEN: "" }).token, undefined);
  const offline = (value: string) => optionsOf({ HF_HUB_OFFLINE: value }).offline;
  assertEquals(["1", "TRUE", "yes", "on"].map(offline), [true, true, true, true]);
  assertEquals(["", "0", "no", "false"].map(offline), [false, false, false, false]);
});
