// What the policy wrote, with its Python coloured. The text is untrusted: it reaches the page as text alone, in elements
// made here; of the highlighter only the tree of names is used, never its markup.
import hljs from '../vendor/highlight/core.min.js';
import python from '../vendor/highlight/python.min.js';

hljs.registerLanguage('python', python);

const kMostToColour = 20000;  // characters: beyond that it costs more than it helps

const nodesOf = (tree) => tree.children.map((child) => {
  if (typeof child === 'string') return document.createTextNode(child);
  const name = String(child.scope ?? '').replace(/[^\w-]/g, '-');
  return tag('span', {className: name ? `hl-${name}` : ''}, ...nodesOf(child));
});

const colour = (text) => {
  if (text.length > kMostToColour) return [text];
  try {
    const nodes = nodesOf(hljs.highlight(text, {language: 'python', ignoreIllegals: true})._emitter.rootNode);
    return nodes.map((node) => node.textContent).join('') === text ? nodes : [text];
  } catch {
    return [text];
  }
};

// The text in a block that scrolls; what stands between ``` fences is coloured.
export const completion = (text, label) => {
  const block = tag('pre', {tabIndex: 0, className: 'code'});
  block.setAttribute('role', 'region');
  block.setAttribute('aria-label', label);
  let inside = false, part = '';
  const flush = () => {
    if (part) block.append(...(inside ? colour(part) : [part]));
    part = '';
  };
  for (const line of text.split(/(?<=\n)/)) {
    if (!line.startsWith('```')) { part += line; continue; }
    flush();
    block.append(tag('span', {className: 'fence', textContent: line}));
    inside = !inside;
  }
  flush();
  return block;
};
export const plain = (text, label) => {
  const block = tag('pre', {tabIndex: 0, textContent: text});
  block.setAttribute('role', 'region');
  block.setAttribute('aria-label', label);
  return block;
};
