/** Numbers of bytes as people write them. */

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

/** Bytes of `8GiB`, `500 MB` or `1000000`; undefined where it is no such text, or 0. */
export function parseBytes(text: string): number | undefined {
  const [, digits, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  const [, factor] = Object.entries({ "": 1, ...UNITS })
    .find(([name]) => name.toLowerCase() === unit?.toLowerCase()) ?? [];
  const bytes = Math.floor(Number(digits) * (factor ?? 0));
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** `2.7 GiB`, `350 MiB`, `12 KiB`. */
export function showBytes(bytes: number): string {
  if (bytes >= UNITS.GiB) return `${(bytes / UNITS.GiB).toFixed(1)} GiB`;
  return bytes >= UNITS.MiB
    ? `${Math.round(bytes / UNITS.MiB)} MiB`
    : `${Math.ceil(bytes / UNITS.KiB)} KiB`;
}
