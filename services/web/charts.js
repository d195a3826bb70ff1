'use strict';
// Charts over training steps and of rates with intervals, drawn by uPlot (vendor/uplot). Colours are the page's CSS
// variables, read anew whenever the page turns light, dark or to paper. Each chart is made by a function that takes its
// host element and its content, and is an object with update(content), which takes new content of the same shape.

const kStepsToSmooth = 15;
const kTextFont = '12px system-ui, sans-serif';
const charts = new Set();  // every chart on the page, to be drawn again when colours change

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const toneOf = (look) => colour(look);
const withAlpha = (hex, alpha) => `${hex}${Math.round(alpha * 255).toString(16).padStart(2, '0')}`;

// Mean of up to five known neighbours; null where the value itself is.
const smooth = (values) => values.map((value, i) => {
  if (!known(value)) return null;
  const near = values.slice(Math.max(0, i - 2), i + 3).filter(known);
  return near.reduce((a, b) => a + b, 0) / near.length;
});

// The selected step, shared by all charts over steps. null: none yet.
const cursor = {
  step: null, listeners: new Set(),
  move(step) {
    if (step === this.step) return;
    this.step = step;
    for (const listener of this.listeners) listener(step);
  },
};

// Lets `slider` choose among `steps`, says the chosen one in `output`, and begins with the last.
const stepSlider = (slider, output, steps) => {
  slider.max = steps.length - 1;
  slider.addEventListener('input', () => cursor.move(steps[Number(slider.value)]));
  cursor.listeners.add((step) => {
    slider.value = steps.lastIndexOf(step);
    slider.setAttribute('aria-valuetext', output.textContent = `${step}`);
  });
  cursor.move(steps[steps.length - 1]);
};

// A chart of one uPlot that is as wide as its host. make(width): uPlot's options; data(): its columns.
const attach = (canvas, {height, make, data, label}) => {
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', label);
  canvas.classList.add('chart');
  let plot = null;
  const chart = {
    get plot() { return plot; },
    resize(width) {
      if (width <= 0) return;
      if (plot) plot.setSize({width, height: height()});
      else plot = new uPlot({width, height: height(), ...make()}, data(), canvas);
    },
    redraw() { if (plot) plot.redraw(false, true); },
    // From the start, where options depend on the content.
    remake() {
      if (!plot) return;
      const width = plot.width;
      plot.destroy();
      plot = null;
      this.resize(width);
    },
    setData() { if (plot) plot.setData(data()); },
    fit() { this.resize(Math.floor(canvas.clientWidth)); },
  };
  charts.add(chart);
  new ResizeObserver(() => requestAnimationFrame(() => {
    if (!canvas.isConnected) { charts.delete(chart); return; }
    if (!plot || plot.width !== Math.floor(canvas.clientWidth)) chart.fit();
  })).observe(canvas);
  return chart;
};

const axis = (more = {}) => ({
  stroke: () => colour('soft'), font: kTextFont, gap: 4,
  grid: {stroke: () => colour('grid'), width: 1}, ticks: {show: false}, ...more,
});
const shortOf = (plot, splits) => splits.map((value) => known(value) ? short(Number(value.toPrecision(12))) : '');

// What charts over steps share: the x axis, zoom by dragging in one for all, the mark at the selected step.
const stepOptions = (steps) => {
  let mark = null;
  const place = (plot) => {
    const left = known(cursor.step) ? plot.valToPos(cursor.step, 'x') : -1;
    mark.hidden = !(left >= 0 && left <= plot.over.clientWidth);
    mark.style.left = `${left}px`;
  };
  return {
    axis: axis({grid: {show: false}, size: 26, space: 60, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000]}),
    scale: {time: false, range: (plot, low, high) => low === high ? [low - 1, high + 1] : [low, high]},
    cursor: {x: false, y: false, points: {show: false}, sync: {key: 'steps', scales: ['x', null]}, drag: {x: true, y: false}},
    hooks: {
      ready: [(plot) => {
        mark = tag('div', {className: 'stepmark'});
        plot.over.append(mark);
        const follow = () => place(plot);
        cursor.listeners.add(follow);
        plot.hooks.destroy = [() => cursor.listeners.delete(follow)];
        place(plot);
      }],
      setCursor: [(plot) => {
        const at = plot.cursor.idx;
        if (known(at) && plot.cursor.left >= 0) cursor.move(steps()[at]);
      }],
      draw: [(plot) => { if (mark) place(plot); }],
    },
  };
};

// Says the value at the selected step behind each name.
const legendOf = (entries, valueAt) => {
  const node = tag('div', {className: 'legend'});
  const values = entries.map(({name, look, dashed}) => {
    const value = tag('b');
    node.append(tag('span', {className: look}, tag('span', {className: `swatch ${dashed ? 'dash' : ''}`}), `${name} `, value));
    return value;
  });
  const show = () => {
    if (!node.isConnected && node.wasConnected) { cursor.listeners.delete(show); return; }
    node.wasConnected = node.isConnected;
    values.forEach((value, k) => { value.textContent = valueAt(k, cursor.step); });
  };
  cursor.listeners.add(show);
  return {node, show};
};

const domainOf = (fixedDomain) => fixedDomain ? {range: () => fixedDomain} : {
  range: (plot, low, high) => {
    if (!known(low)) return [0, 1];
    const from = Math.min(0, low), to = Math.max(0, high);
    return uPlot.rangeNum(from, to === from ? from + 1 : to, {min: {pad: 0.05, soft: 0, mode: 1}, max: {pad: 0.05, soft: 0, mode: 1}});
  },
};

// series: [{name, look, values, dashed?, low?, high?}]; values (and the ends of an interval around them) stand beside
// `steps`, may be null and may be missing as a whole. smoothed: from kStepsToSmooth steps on each line is shown faint, its
// mean of five bold.
const lineChart = (host, {steps, series, domain, height = 150, format = short, label, smoothed = false}) => {
  let content;
  const take = (newSteps, newSeries) => {
    const present = newSeries.filter((s) => s.values && s.values.some(known));
    const bold = smoothed && newSteps.length >= kStepsToSmooth;
    const columns = [newSteps], lines = [{}], bands = [];
    const add = (values, options) => {
      columns.push(values);
      lines.push({spanGaps: false, points: {show: (plot, k) => isolated(columns[k]) || columns[0].length === 1, size: 6, fill: options.stroke}, ...options});
    };
    for (const s of present) {
      const stroke = () => toneOf(s.look);
      const faint = () => withAlpha(toneOf(s.look), 0.35);
      if (s.low && s.high) {
        add(s.high, {stroke: faint, width: 0.5});
        add(s.low, {stroke: faint, width: 0.5});
        bands.push({series: [lines.length - 2, lines.length - 1], fill: () => withAlpha(toneOf(s.look), 0.15)});
      }
      if (bold) add(s.values, {stroke: faint, width: 1});
      add(bold ? smooth(s.values) : s.values, {stroke, width: 2, dash: s.dashed ? [6, 4] : undefined});
    }
    return {steps: newSteps, present, columns, lines, bands};
  };
  // A value whose neighbours are both missing has no line: then points are drawn.
  const isolated = (values) => values.some((v, i) => known(v) && !known(values[i - 1]) && !known(values[i + 1]));
  const shapeOf = (c) => JSON.stringify([c.present.map((s) => s.name), c.lines.length]);
  content = take(steps, series);

  const empty = tag('p', {className: 'empty', textContent: 'Not recorded in this run.'});
  const body = tag('div'), canvas = tag('div');
  host.append(empty, body);
  let legend = null;
  const chart = attach(canvas, {
    height: () => height, label, data: () => content.columns,
    make: () => {
      const shared = stepOptions(() => content.steps);
      return {
        scales: {x: shared.scale, y: domainOf(domain)}, series: content.lines, bands: content.bands, legend: {show: false},
        axes: [shared.axis, axis({size: 44, values: shortOf, space: 34})], cursor: shared.cursor, hooks: shared.hooks, padding: [8, 12, 0, 0],
      };
    },
  });
  const arrange = () => {
    empty.hidden = content.present.length > 0;
    body.hidden = !empty.hidden;
    legend = legendOf(content.present, (k, step) => {
      const at = content.steps.lastIndexOf(step);
      return format(at < 0 ? null : content.present[k].values[at]);
    });
    body.replaceChildren(legend.node, canvas);
    legend.show();
  };
  arrange();
  return {
    update({steps: newSteps, series: newSeries}) {
      const before = shapeOf(content);
      content = take(newSteps, newSeries);
      if (shapeOf(content) === before) {
        legend.show();
        chart.setData();
      } else {
        arrange();
        chart.remake();
      }
    },
  };
};

// Counts by step and bucket of w in [0, 1], the first bucket at the bottom, with the mean as a line. `most`: the count of
// the darkest cell. A step without samples of the class has null.
const heatmap = (host, {steps, counts, means, look, most, name}) => {
  let content = {steps, counts, means, most};
  const canvas = tag('div');
  const total = (at) => content.counts[at] ? content.counts[at].reduce((a, b) => a + b, 0) : 0;
  const legend = legendOf([{name, look}], (k, step) => {
    const at = content.steps.lastIndexOf(step);
    return at < 0 ? '' : `${total(at)}${known(content.means[at]) ? `, mean w ${content.means[at].toFixed(2)}` : ''}`;
  });
  host.append(legend.node, canvas);
  const drawCells = (plot) => {
    const {ctx} = plot;
    const tone = colour('heat');
    ctx.save();
    ctx.beginPath();
    ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
    ctx.clip();
    content.counts.forEach((row, i) => {
      if (!row) return;
      const left = plot.valToPos(content.steps[i] - 0.5, 'x', true), right = plot.valToPos(content.steps[i] + 0.5, 'x', true);
      row.forEach((count, k) => {
        if (count === 0) return;
        const top = plot.valToPos((k + 1) / row.length, 'y', true), bottom = plot.valToPos(k / row.length, 'y', true);
        ctx.fillStyle = withAlpha(tone, 0.08 + 0.92 * Math.sqrt(Math.min(1, count / content.most)));
        ctx.fillRect(left, top, Math.max(1, right - left), bottom - top);
      });
    });
    ctx.restore();
  };
  const chart = attach(canvas, {
    height: () => 140, label: `Histogram of w over steps: ${name}`, data: () => [content.steps, content.means],
    make: () => {
      const shared = stepOptions(() => content.steps);
      return {
        // Half a step on both sides: a cell is as wide as a step.
        scales: {x: {time: false, range: (plot, low, high) => [low - 0.5, high + 0.5]}, y: {range: () => [0, 1]}},
        series: [{}, {stroke: () => toneOf(look), width: 2, points: {show: false}}], legend: {show: false},
        axes: [shared.axis, axis({size: 44, splits: () => [0, 0.5, 1], values: shortOf})], cursor: shared.cursor,
        hooks: {...shared.hooks, drawAxes: [drawCells]}, padding: [8, 12, 0, 0],
      };
    },
  });
  legend.show();
  return {
    update(next) {
      content = next;
      legend.show();
      chart.setData();
    },
  };
};

// rows: [{name, marks: [{mean, low, high, hollow?, look?}]}] over [0, 1], the first on top; `reference`: a dashed line, or
// null. A mark's look is the plot's unless it has its own.
const dotPlot = (host, {rows, look, reference = null, label}) => {
  let content = {rows, reference};
  const canvas = tag('div');
  host.append(canvas);
  const markOffset = (row, k) => (k - (row.marks.length - 1) / 2) * Math.min(11, 26 / row.marks.length);
  const drawMarks = (plot) => {
    const {ctx} = plot, scale = devicePixelRatio;
    const x = (value) => plot.valToPos(value, 'x', true);
    const line = (x0, y0, x1, y1, stroke, width, dash = []) => {
      ctx.strokeStyle = stroke;
      ctx.lineWidth = width * scale;
      ctx.setLineDash(dash.map((d) => d * scale));
      ctx.beginPath();
      ctx.moveTo(x0, y0);
      ctx.lineTo(x1, y1);
      ctx.stroke();
    };
    ctx.save();
    if (known(content.reference)) line(x(content.reference), plot.bbox.top, x(content.reference), plot.bbox.top + plot.bbox.height, colour('soft'), 1, [3, 3]);
    content.rows.forEach((row, i) => {
      const middle = plot.valToPos(i, 'y', true);
      row.marks.forEach((mark, k) => {
        const y = middle + markOffset(row, k) * scale, tone = toneOf(mark.look ?? look);
        line(x(mark.low), y, x(mark.high), y, tone, mark.hollow ? 1.2 : 2);
        ctx.setLineDash([]);
        ctx.beginPath();
        ctx.arc(x(mark.mean), y, (mark.hollow ? 4 : 5) * scale, 0, 2 * Math.PI);
        ctx.fillStyle = mark.hollow ? colour('card') : tone;
        ctx.fill();
        ctx.lineWidth = 2 * scale;
        ctx.strokeStyle = tone;
        ctx.stroke();
      });
    });
    ctx.restore();
  };
  const chart = attach(canvas, {
    height: () => content.rows.length * 36 + 34, label, data: () => [[0, 1], [null, null]],
    make: () => ({
      scales: {x: {time: false, range: () => [0, 1]}, y: {dir: -1, range: () => [-0.5, content.rows.length - 0.5]}},
      series: [{}, {points: {show: false}, paths: () => null}], legend: {show: false}, padding: [8, 14, 0, 0],
      axes: [
        axis({size: 26, splits: () => [0, 0.25, 0.5, 0.75, 1], values: shortOf}),
        axis({size: 132, splits: () => content.rows.map((row, i) => i), values: () => content.rows.map((row) => row.name), grid: {show: false}, stroke: () => colour('ink')}),
      ],
      cursor: {show: false}, hooks: {draw: [drawMarks]},
    }),
  });
  return {
    update(next) {
      content = {reference: null, ...next};
      chart.remake();
    },
  };
};

const redrawCharts = () => { for (const chart of charts) chart.redraw(); };
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redrawCharts);
new MutationObserver(redrawCharts).observe(document.documentElement, {attributes: true, attributeFilter: ['data-theme']});
// On paper colours are the light ones and a figure is narrower.
addEventListener('beforeprint', () => {
  document.documentElement.classList.add('paper');
  for (const chart of charts) chart.fit();
  redrawCharts();
});
addEventListener('afterprint', () => {
  document.documentElement.classList.remove('paper');
  for (const chart of charts) chart.fit();
  redrawCharts();
});
