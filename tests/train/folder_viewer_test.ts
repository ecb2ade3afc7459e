import { assertEquals } from "@std/assert";
import { FolderViewer } from "../../train/folder_viewer.ts";
import type { RunRecord } from "../../train/run_reader.ts";

function run(steps: number, events: number): RunRecord {
  const rows = Array.from({ length: steps }, (_, i) => ({ step: i + 1, "objective/kl_coef": 0.5 }));
  return {
    name: "a",
    path: "runs/a",
    settings: { steps: 3, klTarget: 0.1, learningRate: 1e-4, klCoef: 0.4 },
    metrics: rows,
    samples: rows.map(({ step }) => ({ step, prompt: "p", response: "r", score: 0, kl: 0 })),
    events: Array.from({ length: events }, (_, i) => ({ step: i + 1, message: "seen" })),
    evaluation: {},
    environment: {},
  };
}

Deno.test("FolderViewer tells everything once", () => {
  const viewer = new FolderViewer();
  const typesOf = (record: RunRecord) => viewer.events(record).map(({ type }) => type);
  assertEquals(typesOf(run(0, 0)), ["run", "samples", "state"]);
  assertEquals(typesOf(run(2, 1)), ["step", "step", "guard", "samples", "state"]);
  assertEquals(typesOf(run(2, 1)), []);
  assertEquals(typesOf(run(3, 1)), ["step", "samples", "state"]);
});

Deno.test("FolderViewer shows the last step's samples, and when the run has ended", () => {
  const events = new FolderViewer().events(run(3, 0));
  const samples = events.find(({ type }) => type === "samples");
  const state = events.find(({ type }) => type === "state");
  assertEquals(samples?.type === "samples" && samples.samples.map(({ step }) => step), [3]);
  assertEquals(state?.type === "state" && [state.state.phase, state.state.beta], ["finished", 0.5]);
});

Deno.test("FolderViewer begins again where a resumed run was cut back", () => {
  const viewer = new FolderViewer();
  viewer.events(run(3, 2));
  const types = viewer.events(run(1, 0)).map(({ type }) => type);
  assertEquals(types, ["run", "step", "samples", "state"]);
});

Deno.test("FolderViewer begins again where the guard went back, however far the run has come since", () => {
  const viewer = new FolderViewer();
  viewer.events(run(2, 1));
  const back = run(3, 2);
  back.events[1].backTo = 1;
  const types = viewer.events(back).map(({ type }) => type);
  assertEquals(types, ["run", "step", "step", "step", "guard", "guard", "samples", "state"]);
  assertEquals(viewer.events(back), []);
});
