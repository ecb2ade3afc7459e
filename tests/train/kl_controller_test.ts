import { assertEquals, assertThrows } from "@std/assert";
import { casesOf } from "../helpers/cases.ts";
import { assertClose } from "../helpers/close.ts";
import { type KlControllerOptions, KlDivergenceController } from "../../train/kl_controller.ts";

const F64 = { atol: 0, rtol: 1e-12 }; // the same products in another order

for (
  const { name, options, input, expected } of casesOf<
    { beta: number; target: number; horizon: number },
    { series: [kl: number, episodes: number][] },
    { beta: number[] }
  >("proportionalController")
) {
  Deno.test(`KlDivergenceController agrees with proportional case ${name}`, () => {
    const { beta: initialCoef, ...rest } = options;
    const controller = new KlDivergenceController({ kind: "proportional", initialCoef, ...rest });
    const betas = input.series.map(([kl, episodes]) => {
      controller.update(kl, episodes);
      return controller.beta;
    });
    assertClose(betas, expected.beta, F64);
  });
}

for (
  const { name, options, input, expected } of casesOf<
    { beta: number; target: number; factor: number; min: number; max: number },
    { series: number[] },
    { beta: number[] }
  >("bandController")
) {
  Deno.test(`KlDivergenceController agrees with band case ${name}`, () => {
    const { beta: initialCoef, ...rest } = options;
    const controller = new KlDivergenceController({ kind: "band", initialCoef, ...rest });
    const betas = input.series.map((kl) => {
      controller.update(kl, 2);
      return controller.beta;
    });
    assertClose(betas, expected.beta, F64);
  });
}

Deno.test("KlDivergenceController is a band of factor 1.1 unless told otherwise", () => {
  const controller = new KlDivergenceController({ initialCoef: 0.2, target: 0.01 });
  controller.update(0.0234, 2);
  assertClose([controller.beta], [0.22], F64);
});

Deno.test("KlDivergenceController holds still on the edges of the band", () => {
  const controller = new KlDivergenceController({ initialCoef: 0.2, target: 0.5 });
  controller.update(0.75, 2);
  controller.update(0.5 / 1.5, 2);
  assertEquals(controller.beta, 0.2);
});

Deno.test("KlDivergenceController of the fixed kind never moves, and may be 0", () => {
  for (const initialCoef of [0, 0.1, 50]) {
    const controller = new KlDivergenceController({ kind: "fixed", initialCoef, target: 0.01 });
    for (const kl of [0, 0.01, 100]) controller.update(kl, 2);
    assertEquals(controller.beta, initialCoef);
  }
});

Deno.test("KlDivergenceController stays within its bounds", () => {
  const options = { initialCoef: 1, target: 0.01, factor: 2, min: 0.5, max: 3 };
  const controller = new KlDivergenceController(options);
  const betas = [1, 1, 0, 0, 0].map((kl) => {
    controller.update(kl, 1);
    return controller.beta;
  });
  assertEquals(betas, [2, 3, 1.5, 0.75, 0.5]);
});

Deno.test("KlDivergenceController takes a negative estimate for a low KL", () => {
  const controller = new KlDivergenceController({ initialCoef: 0.22, target: 0.01 });
  controller.update(-0.5, 2);
  assertClose([controller.beta], [0.2], F64);
});

Deno.test("KlDivergenceController keeps every KL and prices one", () => {
  const controller = new KlDivergenceController({ initialCoef: 0.5, target: 0.01 });
  for (const kl of [0.01, 0.012, 0.009]) controller.update(kl, 2);
  assertEquals(controller.history, [0.01, 0.012, 0.009]);
  assertEquals(controller.penalty(0.1), 0.05);
});

Deno.test("KlDivergenceController refuses a KL that is not finite and stays as it was", () => {
  for (const kind of ["band", "proportional", "fixed"] as const) {
    const controller = new KlDivergenceController({
      kind,
      initialCoef: 0.2,
      target: 0.01,
      horizon: 100,
    });
    for (const kl of [NaN, Infinity]) assertThrows(() => controller.update(kl, 2), RangeError);
    assertThrows(() => controller.update(0.1, 0), RangeError);
    assertEquals(controller.state(), { beta: 0.2, history: [] });
  }
});

Deno.test("KlDivergenceController goes on from a saved state as if never stopped", () => {
  const options: KlControllerOptions = {
    kind: "proportional",
    initialCoef: 0.2,
    target: 0.01,
    horizon: 50,
  };
  const whole = new KlDivergenceController(options);
  whole.update(0.02, 8);
  const resumed = new KlDivergenceController(options);
  resumed.restore(JSON.parse(JSON.stringify(whole.state())));
  for (const controller of [whole, resumed]) controller.update(0.03, 8);
  assertEquals(resumed.state(), whole.state());
  assertEquals(resumed.history, [0.02, 0.03]);
});

Deno.test("KlDivergenceController.state() is a copy", () => {
  const controller = new KlDivergenceController({ initialCoef: 0.2, target: 0.01 });
  const before = controller.state();
  controller.update(1, 2);
  assertEquals(before, { beta: 0.2, history: [] });
});

Deno.test("KlDivergenceController.restore() refuses a broken state", () => {
  const controller = new KlDivergenceController({ initialCoef: 0.2, target: 0.01 });
  for (const state of [{ beta: NaN, history: [] }, { beta: -1, history: [] }]) {
    assertThrows(() => controller.restore(state), RangeError);
  }
  assertThrows(() => controller.restore({ beta: 1, history: [NaN] }), RangeError);
  assertEquals(controller.beta, 0.2);
});

const VALID = { initialCoef: 0.2, target: 0.01 };
const INVALID: [option: string, options: KlControllerOptions][] = [
  ["target", { ...VALID, target: 0 }],
  ["target", { ...VALID, target: -1 }],
  ["target", { ...VALID, kind: "proportional", horizon: 100, target: NaN }],
  ["horizon", { ...VALID, kind: "proportional" }],
  ["horizon", { ...VALID, kind: "proportional", horizon: 0 }],
  ["horizon", { ...VALID, kind: "proportional", horizon: -1 }],
  ["factor", { ...VALID, factor: 1 }],
  ["min", { ...VALID, min: 0 }],
  ["min", { ...VALID, min: 2, max: 1 }],
  ["initialCoef", { ...VALID, initialCoef: 20 }],
  ["initialCoef", { ...VALID, initialCoef: NaN }],
  ["initialCoef", { ...VALID, kind: "fixed", initialCoef: -0.1 }],
  ["initialCoef", { ...VALID, kind: "fixed", initialCoef: Infinity }],
];
for (const [option, options] of INVALID) {
  Deno.test(`KlDivergenceController refuses ${option} in ${Deno.inspect(options)}`, () => {
    assertThrows(
      () => new KlDivergenceController(options),
      RangeError,
      `Cannot make a KL controller: ${option}`,
    );
  });
}
