// Rows read as scalars, whatever their length; appended to kernels that are written over `Element`.

alias Element = f32;
const WIDTH: u32 = 1u; // columns in one element

fn total(element: Element) -> f32 {
  return element;
}

fn largest(element: Element) -> f32 {
  return element;
}
