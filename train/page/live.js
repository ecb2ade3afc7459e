/**
 * The live page: draws what the server tells, sends what the controls ask for.
 *
 * Texts of models and prompts only ever become text nodes.
 */
"use strict";

const byId = (id) => document.getElementById(id);

/** The token came after the address's `#`; it stays in this tab and leaves the address bar. */
const token = location.hash.slice(1) ||
  sessionStorage.getItem("kl-guard-token") || "";
if (token) sessionStorage.setItem("kl-guard-token", token);
history.replaceState(null, "", location.pathname);

const draw = createCharts(byId("charts"));
let run = { name: "", settings: {}, metrics: [] };
let drawing = false;

/** Draws once for all the steps that arrive together. */
function drawSoon() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => { // not an animation frame, which never comes while the page is in the background
    drawing = false;
    draw([run]);
  }, 50);
}

function element(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

/** Null where the reward gave nothing finite. */
function shownScore(score) {
  return score === null ? "–" : Number(score.toPrecision(4));
}

function clearGuard() {
  byId("guard").replaceChildren(
    element("li", "Nothing happened that the guard watches for.", "muted"),
  );
}

const handlers = {
  reset() {
    run = { name: "", settings: {}, metrics: [] };
    byId("answers").replaceChildren();
    clearGuard();
  },
  run({ name, settings, steerable }) {
    run = { name, settings, metrics: [] };
    clearGuard();
    byId("name").textContent = name;
    document.title = `KL Guard: ${name}`;
    byId("steer").hidden = !steerable;
    const problem = token ? "" : "To steer, open the address that the terminal printed.";
    byId("problem").textContent = problem;
    for (const control of byId("steer").querySelectorAll("button, input")) {
      control.disabled = !token;
    }
    drawSoon();
  },
  step({ metrics }) {
    run.metrics = run.metrics.filter(({ step }) => step < metrics.step); // after a rollback
    run.metrics.push(metrics);
    drawSoon();
  },
  samples({ samples }) {
    byId("samples").replaceChildren(...samples.map((sample) => {
      const box = element("div", "", "response");
      box.append(
        element("div", `score ${shownScore(sample.score)}`, "muted"),
        element("span", sample.prompt, "muted"),
        element("span", sample.response),
      );
      return box;
    }));
  },
  guard({ step, message }) {
    byId("guard").querySelector(".muted")?.remove();
    byId("guard").append(element("li", `step ${step}: ${message}`));
  },
  state({ state }) {
    const {
      phase,
      step,
      totalSteps,
      beta,
      klTarget,
      learningRate,
      checkpoint,
      problem,
    } = state;
    byId("status").textContent = `${phase}, step ${step} of ${totalSteps}` +
      (checkpoint ? `, saved in ${checkpoint}` : "");
    if (token) byId("problem").textContent = problem ?? "";
    const values = {
      "set-beta": beta,
      "set-target": klTarget,
      "set-learning-rate": learningRate,
    };
    for (const [name, value] of Object.entries(values)) {
      const input = document.querySelector(`form[data-do="${name}"] input`);
      if (input !== document.activeElement) {
        input.value = Number(value.toPrecision(4));
      }
    }
  },
  answer({ prompt, policy, reference, step }) {
    const box = element("div", "", "response");
    const line = (label, text) => {
      const row = element("div", "");
      row.append(
        element("span", `${label} `, "muted"),
        element("span", prompt + text),
      );
      return row;
    };
    box.append(
      line(`policy after step ${step}:`, policy),
      line("reference:", reference),
    );
    byId("answers").prepend(box);
  },
};

const events = new EventSource("/events");
for (const [type, handle] of Object.entries(handlers)) {
  events.addEventListener(type, ({ data }) => handle(JSON.parse(data)));
}
events.addEventListener("error", () => {
  if (byId("status").textContent.startsWith("finished")) return; // its end was told
  byId("status").textContent = "not connected: the run has ended, or its machine cannot be reached";
});

async function send(command) {
  const headers = {
    "content-type": "application/json",
    "x-kl-guard-token": token,
  };
  try {
    const response = await fetch("/command", {
      method: "POST",
      headers,
      body: JSON.stringify(command),
    });
    byId("problem").textContent = response.ok ? "" : await response.text();
  } catch {
    byId("problem").textContent = "the run could not be reached";
  }
}

for (const button of document.querySelectorAll("button[data-do]")) {
  button.addEventListener("click", () => send({ do: button.dataset.do }));
}
for (const form of document.querySelectorAll("form[data-do]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const input = form.querySelector("input");
    const value = input.type === "number" ? Number(input.value) : input.value;
    send({ do: form.dataset.do, [input.name]: value });
    input.blur();
  });
}
