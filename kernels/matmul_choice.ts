/** How a matrix product is computed: which families there are, which suit an adapter, and what is usual. */

import * as fewColumns from "./matmul_few_columns.ts";
import { describeTile, type Layout, type PARAMS, stepOf, type Tile } from "./matmul_tiles.ts";
import type { Gpu } from "./runtime/mod.ts";

/**
 * A way to compute a product: in `registers` of one subgroup, as tiles, which suits CPUs; in
 * `squares` of workgroup memory with so many invocations along a side, in larger `blocks` of it, or in `strips` of few
 * rows, which suits GPUs; or in a way of its own where there are few columns. All but that one add the products in the
 * same order.
 */
export type MatmulChoice =
  | { family: "registers" } & Tile
  | { family: "squares"; side: number }
  | { family: "blocks" }
  | { family: "strips" }
  | { family: "few columns" };

/** The name of a way to compute a product. */
export type MatmulFamily = MatmulChoice["family"];

/** Sizes, strides and offsets of a product. */
export type MatmulSizes = Readonly<Record<keyof typeof PARAMS, number>>;

/** Rows and columns of a block. */
export const BLOCK = 128;

/** Elements of a page of memory, beyond which a processor's own prefetching does not look. */
const PAGE = 1024;

/** Blocks that keep a large GPU busy; with fewer of them, more and smaller squares are faster. */
const ENOUGH_BLOCKS = 128;

/** Products with fewer operations take little time however they are computed, and are not measured. */
const LEAST_FLOPS = 1e7;

/** Rows of the lowest tiles: one that is made for no more rows than there are is faster by a tenth, or two. */
const FEW_ROWS = [1, 2, 4];

/** Rows of the product up to which strips are compared with squares: with more, they read B too often. */
const MOST_STRIP_ROWS = 32;

/** And up to which they are usual: seven eighths of a square are empty then. */
const USUAL_STRIP_ROWS = 8;

/** What a product is computed by: what was chosen for its kind by measurement, or what is usual. */
export function choose(gpu: Gpu, layout: Layout, sizes: MatmulSizes, isSum: boolean): MatmulChoice {
  if (isSum && fewColumns.fits(layout, sizes)) return { family: "few columns" };
  const { rows, columns, depth } = sizes;
  const flops = 2 * Math.max(rows, 4) * columns * depth; // with fewer rows the time is that of reading B
  if (flops < LEAST_FLOPS || !isOfVectors(layout, sizes)) {
    return usualChoice(gpu, layout, sizes);
  }
  const kind = kindOf(layout, sizes);
  const understand = (chosen: string) =>
    possibleChoices(gpu, layout, parseKind(kind)!).find((way) => describeChoice(way) === chosen);
  return gpu.tuning.choice(kind, understand) ?? usualChoice(gpu, layout, sizes);
}

/** What suits adapter and sizes, as far as is known without measuring on the adapter. */
export function usualChoice(gpu: Gpu, layout: Layout, sizes: MatmulSizes): MatmulChoice {
  const { rows, columns, bStride } = sizes;
  if (isOfVectors(layout, sizes)) {
    if (gpu.software && hasTiles(gpu)) {
      const height = tileHeight(layout, rows, gpu.subgroupSize);
      return { family: "registers", height, ahead: layout === "nn" && bStride > PAGE };
    }
    if (!gpu.software) {
      const blockCount = Math.ceil(rows / BLOCK) * Math.ceil(columns / BLOCK);
      if (layout === "nt" && rows <= USUAL_STRIP_ROWS) return { family: "strips" };
      if (fillsBlocks(sizes) && blockCount >= ENOUGH_BLOCKS) return { family: "blocks" };
    }
  }
  return { family: "squares", side: tileSide(gpu, rows, columns) };
}

/** Every way to compute a product whose loads and stores can be those of vectors of four. */
export function possibleChoices(
  gpu: Gpu,
  layout: Layout,
  sizes: Pick<MatmulSizes, "rows" | "columns" | "depth">,
): MatmulChoice[] {
  const { rows } = sizes;
  const ways: MatmulChoice[] = hasTiles(gpu)
    ? possibleTiles(gpu, layout, sizes).map((tile) => ({ family: "registers", ...tile }))
    : [];
  if (gpu.software && ways.length > 0) return ways; // barriers cost a CPU far more
  const sides = gpu.software ? [16, 8, 4] : [16, 8];
  ways.push(...sides.map((side) => ({ family: "squares" as const, side })));
  if (fillsBlocks(sizes)) ways.push({ family: "blocks" });
  if (!gpu.software && layout === "nt" && rows <= MOST_STRIP_ROWS) ways.push({ family: "strips" });
  return ways;
}

/** Whether blocks are at least half full. */
function fillsBlocks({ rows, columns }: Pick<MatmulSizes, "rows" | "columns">): boolean {
  return Math.min(rows, columns) >= BLOCK / 2;
}

/** A choice as text: `registers 40`, `registers 16 unrolled`, `squares 16`, `blocks`, `strips`. */
export function describeChoice(choice: MatmulChoice): string {
  switch (choice.family) {
    case "registers":
      return `registers ${describeTile(choice)}`;
    case "squares":
      return `squares ${choice.side}`;
    default:
      return choice.family;
  }
}

/**
 * The kind of a product, for which one choice holds: `nt 40 x 768 x 3072`. Of what grows with the batch, rows or in layout
 * `tn` the depth, it has the next multiple of 8 from 8 to 128, else the next power of two.
 */
export function kindOf(
  layout: Layout,
  { rows, columns, depth }: Pick<MatmulSizes, "rows" | "columns" | "depth">,
): string {
  const rounded = (size: number) =>
    size > 8 && size <= 128 ? 8 * Math.ceil(size / 8) : 2 ** Math.ceil(Math.log2(size));
  const sizes = layout === "tn" ? [rows, columns, rounded(depth)] : [rounded(rows), columns, depth];
  return `${layout} ${sizes.join(" x ")}`;
}

/** Layout and sizes of {@linkcode kindOf}; nothing for any other text. */
export function parseKind(kind: string) {
  const match = /^(nn|nt|tn) (\d+) x (\d+) x (\d+)$/.exec(kind);
  if (!match) return undefined;
  const [rows, columns, depth] = match.slice(2).map(Number);
  return { layout: match[1] as Layout, rows: rows!, columns: columns!, depth: depth! };
}

/** Whether all loads and stores can be those of vectors of four. */
function isOfVectors(layout: Layout, sizes: MatmulSizes): boolean {
  const { rows, columns, depth, aStride, bStride, outStride } = sizes;
  const strides = [aStride, bStride, outStride, sizes.aOffset, sizes.bOffset, sizes.outOffset];
  return [columns, ...strides, layout === "tn" ? rows : depth].every((size) => size % 4 === 0);
}

/** Whether register tiles run here: the subgroup's size must be known, and one that they are made for. */
function hasTiles({ subgroupSize }: Gpu): boolean {
  return subgroupSize >= 4 && subgroupSize <= 32;
}

/** Every register tile that is sensible for a product. */
function possibleTiles(
  { software, subgroupSize }: Gpu,
  layout: Layout,
  { rows, depth }: Pick<MatmulSizes, "rows" | "depth">,
): Tile[] {
  const heights = layout === "tn" ? heightsOfColumns(subgroupSize) : heightsOfRows(rows);
  // Taller ones take more registers than a lane of a GPU has; and it has no use for the rest.
  if (!software) return heights.filter((height) => height <= 32).map((height) => ({ height }));
  const tiles = heights.flatMap((height) => [{ height }, { height, unrolled: true }])
    .filter((tile: Tile) => !tile.unrolled || tile.height * stepOf(layout, tile) <= MOST_UNROLLED)
    .filter((tile) => layout === "tn" || depth % stepOf(layout, tile) === 0);
  return layout === "nn"
    ? [false, true].flatMap((ahead) => tiles.map((tile) => ({ ...tile, ahead })))
    : tiles;
}

/** Rows times k of a round, up to which tiles are unrolled: longer text leaves the cache of decoded instructions. */
const MOST_UNROLLED = 320;

/** Heights of tiles that share a number of rows evenly: one tile, two, three or four; many rows are alike. */
function heightsOfRows(rows: number): number[] {
  if (rows > 128) return [32, 48, 64];
  if (rows <= 4) return [FEW_ROWS.find((height) => rows <= height)!];
  if (rows <= 8) return [4, 8];
  const heights = [1, 2, 3, 4].map((count) => 8 * Math.ceil(rows / count / 8));
  return [...new Set(heights)].filter((height) => height <= 80);
}

/** Heights of tiles in layout `tn`: what lanes of four rows make up, or twice that. */
function heightsOfColumns(lanes: number): number[] {
  const height = Math.min(32, 4 * lanes);
  return 4 * lanes <= 32 ? [height, 2 * height] : [height];
}

/** Rows of a tile: as many as pay, by measurement, but not many more than there are. */
function tileHeight(layout: Layout, rows: number, lanes: number): number {
  if (layout === "tn") {
    const [height, tall] = heightsOfColumns(lanes) as [number, number?];
    return tall !== undefined && (rows - 1) % tall >= height ? tall : height;
  }
  if (rows <= 16) return [...FEW_ROWS, 8, 16].find((height) => rows <= height)!;
  if (rows > 128) return 32; // the last tile's empty rows hardly count
  const heights = Object.keys(ROW_COST).map(Number);
  const cost = (height: number) => height * ROW_COST[height]! * Math.ceil(rows / height);
  return heights.reduce((best, height) => cost(height) < cost(best) ? height : best, 32);
}

/** Time for a row of a tile of so many, relative to 32, by measurement. */
const ROW_COST: Readonly<Record<number, number>> = { 16: 1.12, 24: 1.04, 32: 1, 40: 1.02, 48: 1 };

/** Invocations along a side of a shared-memory tile; fewer pay for thin products where lanes are not free. */
function tileSide(gpu: Gpu, rows: number, columns: number): number {
  const thin = Math.min(rows, columns);
  return !gpu.software || thin > 32 ? 16 : thin > 16 ? 8 : 4;
}
