// Elements from words alone: text is only ever text, and what has not changed is not touched.

const DRAWN = new Set(["svg", "path", "line"]);

export function h(tag, attributes, ...children) {
  const element = DRAWN.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

export const time = (milliseconds, text) => h("time", { datetime: new Date(milliseconds).toISOString() }, text);

export function fill(parent, fresh) {
  fresh.forEach((child, number) => {
    const old = parent.childNodes[number];
    if (!old) parent.append(child);
    else if (!old.isEqualNode(child)) old.replaceWith(child);
  });
  while (parent.childNodes.length > fresh.length) parent.lastChild.remove();
}
