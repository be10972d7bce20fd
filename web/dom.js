// Elements: text is only ever text, and what has not changed is not touched.

const DRAWN = ["svg", "path"];

export function h(tag, attributes, ...children) {
  const element = DRAWN.includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

export const time = (at, text) => h("time", { datetime: new Date(at).toISOString() }, text);

export function fill(parent, children) {
  const wanted = children.filter(Boolean);
  wanted.forEach((child, number) => {
    const old = parent.childNodes[number];
    if (!old) parent.append(child);
    else if (!old.isEqualNode(child)) old.replaceWith(child);
  });
  while (parent.childNodes.length > wanted.length) parent.lastChild.remove();
}
