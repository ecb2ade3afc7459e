/** Model cards: the `README.md` of a model folder, as the Hub shows it. */

/** What a card says. */
export interface ModelCard {
  /** The heading. */
  readonly title: string;
  /** What the model is and what was done to it, in a sentence or two. */
  readonly summary: string;
  /** The model on the Hub that it was trained from, `name` or `owner/name`, if it was on the Hub. */
  readonly baseModel: string | undefined;
  /** Beside those that every card has. */
  readonly tags: readonly string[];
  /** Whether the folder holds adapters, which PEFT loads, in place of a whole model. */
  readonly isAdapter: boolean;
  /** Whether a value head is among the weights. */
  readonly hasValueHead: boolean;
  /** How it was trained: what -> value. */
  readonly training: Readonly<Record<string, string>>;
  /** What came of it: paragraphs, tables, or text in fences. */
  readonly figures: readonly string[];
  /** Everything that was set, for a run that shall do the same. */
  readonly settings: object;
}

/** The card as Markdown, with the front matter that the Hub reads. */
export function formatModelCard(card: ModelCard): string {
  const { title, summary, training, figures, settings } = card;
  const paragraphs = [
    frontMatter(card),
    `# ${title}`,
    summary,
    "## How to load it",
    ...usage(card),
    "## Training",
    table(["", ""], Object.entries(training)),
    "## Figures",
    ...figures,
    "## Settings",
    fenced("json", JSON.stringify(settings, null, 2)),
  ];
  return paragraphs.join("\n\n") + "\n";
}

/** A Markdown table. */
export function table(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeCell).join(" | ")} |`;
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)].join("\n");
}

/** Text that is shown as it is, whatever it says. */
export function fenced(language: string, text: string): string {
  const longest = Math.max(2, ...Array.from(text.matchAll(/`+/g), ([ticks]) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

function frontMatter({ baseModel, tags, isAdapter }: ModelCard): string {
  const list = ["kl-guard", "rlhf", ...tags].map((tag) => `- ${JSON.stringify(tag)}`);
  return [
    "---",
    ...(baseModel === undefined ? [] : [`base_model: ${JSON.stringify(baseModel)}`]),
    `library_name: ${isAdapter ? "peft" : "transformers"}`,
    "pipeline_tag: text-generation",
    "tags:",
    ...list,
    "---",
  ].join("\n");
}

function usage({ isAdapter, hasValueHead }: ModelCard): string[] {
  const [library, loader] = isAdapter
    ? ["peft", "AutoPeftModelForCausalLM"]
    : ["transformers", "AutoModelForCausalLM"];
  const code = [
    ...(isAdapter
      ? [`from ${library} import ${loader}`, "from transformers import AutoTokenizer"]
      : [`from ${library} import ${loader}, AutoTokenizer`]),
    "",
    'folder = "path/to/this/folder"',
    `model = ${loader}.from_pretrained(folder)`,
    "tokenizer = AutoTokenizer.from_pretrained(folder)",
    'inputs = tokenizer("The movie was", return_tensors="pt")',
    "output = model.generate(**inputs, do_sample=True, max_new_tokens=40, pad_token_id=tokenizer.eos_token_id)",
    "print(tokenizer.decode(output[0]))",
  ];
  const valueHead =
    "The weights have a value head too, `v_head.summary`: `transformers` leaves it out and says so, " +
    "TRL's `AutoModelForCausalLMWithValueHead` reads it.";
  return [fenced("python", code.join("\n")), ...(hasValueHead ? [valueHead] : [])];
}

function escapeCell(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("|", "\\|").replaceAll(/\s+/g, " ").trim();
}
