// Rows read four columns at a time, which halves the cost of a load or better; appended to kernels that are
// written over `Element` where rows are a multiple of four long.

alias Element = vec4f;
const WIDTH: u32 = 4u; // columns in one element

fn total(element: Element) -> f32 {
  return (element.x + element.y) + (element.z + element.w);
}

fn largest(element: Element) -> f32 {
  return max(max(element.x, element.y), max(element.z, element.w));
}
