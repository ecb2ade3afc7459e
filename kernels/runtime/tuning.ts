/**
 * What was measured to be fastest on an adapter. Where an operation can be done in several ways that give the same
 * result, it asks for the one that was chosen for work of its kind, and does what is usual where none was.
 *
 * Both are plain text, so that choices can be kept in a file: see `tune`.
 */
export class Tuning {
  readonly #choices = new Map<string, string>();
  readonly #understood = new Map<string, unknown>();
  readonly #undecided = new Set<string>();

  /**
   * The way that was chosen for a kind of work, if any; a kind that has none is noted as undecided.
   *
   * @param understand What the text of a choice means, or nothing where it means nothing here: a file may hold
   *   anything. Asked once for each choice, since this is called for every dispatch; must always be the same for a kind.
   */
  choice<Way>(kind: string, understand: (choice: string) => Way | undefined): Way | undefined {
    if (this.#understood.has(kind)) return this.#understood.get(kind) as Way | undefined;
    const choice = this.#choices.get(kind);
    if (choice === undefined) {
      this.#undecided.add(kind);
      return undefined;
    }
    const way = understand(choice);
    this.#understood.set(kind, way);
    return way;
  }

  /** Chooses a way for a kind of work. */
  choose(kind: string, choice: string): void {
    this.#choices.set(kind, choice);
    this.#understood.delete(kind);
    this.#undecided.delete(kind);
  }

  /** Takes over choices, for example of an earlier run. */
  load(choices: Readonly<Record<string, string>>): void {
    for (const [kind, choice] of Object.entries(choices)) this.choose(kind, choice);
  }

  /** Kinds that were asked for and have no choice. */
  get undecided(): readonly string[] {
    return [...this.#undecided];
  }

  /** All choices, by kind. */
  get choices(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#choices);
  }
}
