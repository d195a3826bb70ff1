'use strict';
// Plain SVG charts. Text enters the page through textContent alone, never as markup.

const svgTag = (name, attributes = {}, text) => {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};

const tag = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

const known = (value) => value !== null && value !== undefined;
const fixed = (digits) => (value) => known(value) ? value.toFixed(digits) : '–';
const short = (value) => {
  if (!known(value)) return '–';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1);
  return size >= 1000 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
};

// Round numbers that cover [low, high], about `count` of them.
const ticks = (low, high, count) => {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const result = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; ++k) result.push(Number((k * step).toPrecision(12)));
  return result;
};

const kStepsToSmooth = 15;
// Mean of up to five known neighbours; null where the value itself is.
const smooth = (values) => values.map((value, i) => {
  if (!known(value)) return null;
  const near = values.slice(Math.max(0, i - 2), i + 3).filter(known);
  return near.reduce((a, b) => a + b, 0) / near.length;
});

// Draws into `host` now and whenever its width changes.
const drawToWidth = (host, draw) => {
  let width = 0;
  new ResizeObserver(() => {
    const now = Math.floor(host.clientWidth);
    if (now > 0 && now !== width) requestAnimationFrame(() => draw(width = now));
  }).observe(host);
};

// The selected step, shared by all charts over steps.
const cursor = {
  index: 0, listeners: [],
  move(index) { this.index = index; for (const listener of this.listeners) listener(index); },
};

// `inset` keeps the first and the last step off the sides, by that many pixels.
const frame = (steps, width, height, inset = 0) => {
  const box = {left: 42, right: width - 10, top: 8, bottom: height - 22};
  const first = steps[0], last = steps[steps.length - 1];
  const span = last - first || 1;
  box.x = (step) => last === first ? (box.left + box.right) / 2 : box.left + inset + (step - first) / span * (box.right - box.left - 2 * inset);
  box.nearest = (x) => {
    let best = 0;
    steps.forEach((step, i) => { if (Math.abs(box.x(step) - x) < Math.abs(box.x(steps[best]) - x)) best = i; });
    return best;
  };
  return box;
};

const drawStepAxis = (svg, box, steps) => {
  svg.append(svgTag('line', {class: 'axis', x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom}));
  const first = steps[0], last = steps[steps.length - 1];
  const marks = first === last ? [first] : ticks(first, last, Math.max(2, (box.right - box.left) / 90)).filter(Number.isInteger);
  for (const step of marks) {
    svg.append(svgTag('text', {x: box.x(step), y: box.bottom + 16, 'text-anchor': 'middle'}, `${step}`));
  }
};

const followPointer = (svg, box) => svg.addEventListener('pointermove', (event) => {
  cursor.move(box.nearest(event.clientX - svg.getBoundingClientRect().left));
});

const linePath = (box, steps, values, y) => {
  let path = '', pen = false;
  values.forEach((value, i) => {
    if (!known(value)) { pen = false; return; }
    path += `${pen ? 'L' : 'M'}${box.x(steps[i]).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = true;
  });
  return path;
};

const domainOf = (series, fixedDomain) => {
  if (fixedDomain) return fixedDomain;
  const values = series.flatMap((s) => s.values).filter(known);
  let low = Math.min(0, ...values), high = Math.max(0, ...values);
  if (low === high) high = low + 1;
  const marks = ticks(low, high, 4), step = marks.length > 1 ? marks[1] - marks[0] : high - low;
  return [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
};

const legendEntry = (series, digits) => {
  const value = tag('b');
  const node = tag('span', {className: series.look}, tag('span', {className: `swatch ${series.dashed ? 'dash' : ''}`}), `${series.name} `, value);
  cursor.listeners.push((i) => { value.textContent = digits(series.values[i]); });
  return node;
};

const drawSeries = (svg, box, steps, s, y, smoothed) => {
  const line = (values, look) => svg.append(svgTag('path', {class: `line ${s.look} ${look} ${s.dashed ? 'dashed' : ''}`, d: linePath(box, steps, values, y)}));
  if (smoothed) line(s.values, 'faint');
  line(smoothed ? smooth(s.values) : s.values, '');
  s.values.forEach((value, i) => {  // a point without neighbours has no line
    if (known(value) && !known(s.values[i - 1]) && !known(s.values[i + 1])) {
      svg.append(svgTag('circle', {class: s.look, cx: box.x(steps[i]), cy: y(value), r: 3}));
    }
  });
};

// series: [{name, look, values, dashed?}]; values stand beside `steps` and may be null.
const lineChart = (host, {steps, series, domain, height = 150, format = short, label, smoothed = false}) => {
  const present = series.filter((s) => s.values.some(known));
  if (present.length === 0) { host.append(tag('p', {className: 'empty', textContent: 'Not recorded in this run.'})); return; }
  const canvas = tag('div');
  host.append(tag('div', {className: 'legend'}, ...present.map((s) => legendEntry(s, format))), canvas);
  const [low, high] = domainOf(present, domain);
  const bold = smoothed && steps.length >= kStepsToSmooth;
  let box = null, mark = null;
  const place = (i) => { if (mark) { mark.setAttribute('x1', box.x(steps[i])); mark.setAttribute('x2', box.x(steps[i])); } };
  drawToWidth(canvas, (width) => {
    box = frame(steps, width, height);
    const y = (value) => box.bottom - (value - low) / (high - low) * (box.bottom - box.top);
    const svg = svgTag('svg', {height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label});
    for (const value of ticks(low, high, height > 200 ? 5 : 3)) {
      svg.append(svgTag('line', {class: 'gridline', x1: box.left, x2: box.right, y1: y(value), y2: y(value)}),
        svgTag('text', {x: box.left - 6, y: y(value) + 4, 'text-anchor': 'end'}, short(value)));
    }
    drawStepAxis(svg, box, steps);
    mark = svgTag('line', {class: 'cursorline', y1: box.top, y2: box.bottom});
    svg.append(mark);
    for (const s of present) drawSeries(svg, box, steps, s, y, bold);
    followPointer(svg, box);
    canvas.replaceChildren(svg);
    place(cursor.index);
  });
  cursor.listeners.push(place);
};

// One panel of counts by step and bucket of w; `most` is the count of the darkest cell.
const heatmap = (host, {steps, counts, means, look, most, name}) => {
  const height = 132, canvas = tag('div'), readout = tag('b');
  const total = (i) => counts[i] ? counts[i].reduce((a, b) => a + b, 0) : 0;
  host.append(tag('div', {className: 'legend'}, tag('span', {className: look}, tag('span', {className: 'swatch'}), `${name} `, readout)), canvas);
  cursor.listeners.push((i) => { readout.textContent = `${total(i)}${known(means[i]) ? `, mean w ${means[i].toFixed(2)}` : ''}`; });
  let box = null, mark = null;
  const place = (i) => { if (mark) { mark.setAttribute('x1', box.x(steps[i])); mark.setAttribute('x2', box.x(steps[i])); } };
  drawToWidth(canvas, (width) => {
    const span = steps[steps.length - 1] - steps[0] + 1;
    const across = Math.min(40, Math.max(1, (width - 52) / span));
    box = frame(steps, width, height, across / 2);
    const y = (w) => box.bottom - w * (box.bottom - box.top);
    const svg = svgTag('svg', {height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `Histogram of w over steps: ${name}`});
    counts.forEach((row, i) => (row || []).forEach((count, k) => {
      if (count === 0) return;
      svg.append(svgTag('rect', {class: 'cell', x: (box.x(steps[i]) - across / 2).toFixed(1), y: y((k + 1) / row.length).toFixed(1),
        width: across.toFixed(1), height: ((box.bottom - box.top) / row.length).toFixed(1), 'fill-opacity': (0.08 + 0.92 * Math.sqrt(count / most)).toFixed(2)}));
    }));
    for (const w of [0, 0.5, 1]) svg.append(svgTag('text', {x: box.left - 8, y: y(w) + 4, 'text-anchor': 'end'}, `${w}`));
    drawStepAxis(svg, box, steps);
    mark = svgTag('line', {class: 'cursorline', y1: box.top, y2: box.bottom});
    svg.append(mark, svgTag('path', {class: `line ${look}`, d: linePath(box, steps, means, y)}));
    followPointer(svg, box);
    canvas.replaceChildren(svg);
    place(cursor.index);
  });
  cursor.listeners.push(place);
};

// rows: [{name, marks: [{mean, low, high, hollow}]}] over [0, 1]; `reference` is a dashed line or null.
const dotPlot = (host, {rows, look, reference, label}) => {
  const canvas = tag('div'), pitch = 34;
  host.append(canvas);
  drawToWidth(canvas, (width) => {
    const height = rows.length * pitch + 26, left = 128, right = width - 40;
    const x = (value) => left + value * (right - left);
    const svg = svgTag('svg', {height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label});
    for (const value of [0, 0.25, 0.5, 0.75, 1]) {
      svg.append(svgTag('line', {class: 'gridline', x1: x(value), x2: x(value), y1: 2, y2: height - 22}),
        svgTag('text', {x: x(value), y: height - 6, 'text-anchor': 'middle'}, `${value}`));
    }
    if (known(reference)) svg.append(svgTag('line', {class: 'reference', x1: x(reference), x2: x(reference), y1: 2, y2: height - 22}));
    rows.forEach((row, i) => {
      const middle = i * pitch + pitch / 2;
      svg.append(svgTag('text', {class: 'strong', x: left - 10, y: middle + 4, 'text-anchor': 'end'}, row.name));
      row.marks.forEach((mark, k) => {
        const y = middle + (row.marks.length > 1 ? (k - 0.5) * 11 : 0);
        svg.append(svgTag('line', {class: `interval ${look} ${mark.hollow ? 'thin' : ''}`, x1: x(mark.low), x2: x(mark.high), y1: y, y2: y}),
          svgTag('circle', {class: `${look} ${mark.hollow ? 'hollow' : ''}`, cx: x(mark.mean), cy: y, r: mark.hollow ? 4 : 5}));
      });
      const main = row.marks.find((mark) => !mark.hollow);
      if (main) svg.append(svgTag('text', {class: 'strong', x: right + 10, y: middle + 4}, main.mean.toFixed(2)));
    });
    canvas.replaceChildren(svg);
  });
};
