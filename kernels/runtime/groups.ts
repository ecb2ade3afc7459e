/** The items in their order, in groups that together have at most `most`, or of one item that has more. */
export function groupsWithin<Item>(
  items: readonly Item[],
  { most, sizeOf }: { most: number; sizeOf: (item: Item) => number },
): Item[][] {
  const groups: Item[][] = [];
  let sum = Infinity;
  for (const item of items) {
    const size = sizeOf(item);
    sum += size;
    if (sum > most) {
      groups.push([]);
      sum = size;
    }
    groups.at(-1)!.push(item);
  }
  return groups;
}
