/** Text that is not JSON, or an object that names a key twice; says where. */
export class JsonError extends SyntaxError {
  /** The name of the class. */
  override name = "JsonError";
  /** Counted from 1; absent where the bytes are not even text. */
  readonly line: number | undefined;
  /** Counted from 1, in UTF-16 units. */
  readonly column: number | undefined;

  /** Says the position before the problem, where there is one. */
  constructor(problem: string, position?: { line: number; column: number }) {
    super(position ? `line ${position.line}, column ${position.column}: ${problem}` : problem);
    this.line = position?.line;
    this.column = position?.column;
  }
}

/** A safetensors file that breaks the format or does not hold what is asked of it. */
export class SafetensorsError extends SyntaxError {
  /** The name of the class. */
  override name = "SafetensorsError";
  /** Path of the file. */
  readonly file: string;
  /** Name of the tensor at fault, where it is one tensor's. */
  readonly tensor: string | undefined;

  /** An error of a file, or of one tensor in it. */
  constructor(message: string, at: { file: string; tensor?: string; cause?: unknown }) {
    super(message, { cause: at.cause });
    this.file = at.file;
    this.tensor = at.tensor;
  }
}

/** A model folder that is absent, incomplete or unreadable. */
export class ModelFolderError extends Error {
  /** The name of the class. */
  override name = "ModelFolderError";
  /** Path of the folder or of the file in it. */
  readonly path: string;

  /** An error of a folder, or of a file in it. */
  constructor(message: string, at: { path: string; cause?: unknown }) {
    super(message, { cause: at.cause });
    this.path = at.path;
  }
}
