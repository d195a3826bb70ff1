'use strict';
// Small helpers of every page. Text enters a page through textContent alone, never as markup.

const tag = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};
const byId = (id) => document.getElementById(id);

const known = (value) => value !== null && value !== undefined;
const fixed = (digits) => (value) => known(value) ? value.toFixed(digits) : '–';
const percent = (value) => known(value) ? `${Math.round(value * 100)} %` : '–';
const short = (value) => {
  if (!known(value)) return '–';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1);
  return size >= 1000 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
};
