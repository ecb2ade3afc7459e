/** The page: loads a model, and continues what is typed, a few tokens at a time. */

import { fetchCausalLM, Gpu } from "./kl-guard.js";

/** Tokens between two looks at the page. */
const PIECE = 8;

const element = (id) => document.getElementById(id);
const [form, text, status, button] = ["form", "text", "status", "go"].map(element);

/** Where the model is: on the Hub if the page's address names one, or beside the page. */
function modelAddress() {
  const name = new URLSearchParams(location.search).get("model");
  return name === null
    ? new URL("weights/review-gpt2/", location.href)
    : new URL(`https://huggingface.co/${name}/resolve/main/`);
}

function showProgress(done, total) {
  const whole = total > 0 ? ` of ${(total / 1e6).toFixed(0)}` : "";
  status.textContent = `loading the model: ${(done / 1e6).toFixed(0)}${whole} MB`;
}

/** Continues `prompt` and shows it as it grows; the text is a text node, whatever the model writes. */
async function continueText(model, prompt, { count, temperature }) {
  const start = document.createElement("span");
  const rest = document.createTextNode("");
  start.textContent = prompt;
  text.replaceChildren(start, rest);

  const seed = crypto.getRandomValues(new Uint32Array(1))[0];
  const sampling = temperature > 0 ? { temperature, topP: 0.95 } : { greedy: true };
  const begin = performance.now();
  const promptIds = model.tokenizer.encode(prompt);
  const written = [];
  for (let step = 0; written.length < count; step++) {
    const maxNewTokens = Math.min(PIECE, count - written.length);
    const options = { maxNewTokens, seed, step, ...sampling };
    const { ids, stopped } = await model.generate([[...promptIds, ...written]], options);
    written.push(...ids[0]);
    rest.data = model.tokenizer.decode(written, { skipSpecialTokens: true });
    if (stopped[0]) break;
  }
  return written.length / ((performance.now() - begin) / 1000);
}

async function main() {
  const gpu = await Gpu.open();
  const model = await fetchCausalLM(gpu, modelAddress(), { onProgress: showProgress });
  const { nLayer, nEmbd, nPositions } = model.config;
  status.textContent = `${nLayer} layers of ${nEmbd}, ${nPositions} tokens of context; ready`;
  button.disabled = false;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const speed = await continueText(model, element("prompt").value, {
        count: element("count").valueAsNumber,
        temperature: element("temperature").valueAsNumber,
      });
      status.textContent = `${speed.toFixed(1)} tokens per second`;
    } catch (error) {
      status.textContent = error.message;
    }
    button.disabled = false;
  });
}

main().catch((error) => status.textContent = error.message);
