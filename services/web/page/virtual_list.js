// A list of any length of which only what is in sight is in the document. Rows have one height.
//
// rowOf(index) gives a row's element, or null while it is not known (a placeholder stands there); onPick(index, how) says
// that a row was chosen, by 'key' or 'click'. One element has the focus, and tells by aria-activedescendant where it is.
let lists = 0;

export class VirtualList {
  constructor({label, rowHeight, rowOf, onPick, height}) {
    Object.assign(this, {rowHeight, rowOf, onPick, count: 0, picked: -1, id: `list-${++lists}`});
    this.space = tag('div', {className: 'space'});
    this.node = tag('div', {className: 'virtual', tabIndex: 0}, this.space);
    this.node.setAttribute('role', 'listbox');
    this.node.setAttribute('aria-label', label);
    if (height) this.node.style.height = height;
    this.rows = new Map();  // index -> element
    this.node.addEventListener('scroll', () => this.later(), {passive: true});
    this.node.addEventListener('keydown', (event) => {
      const act = this.keys(event);
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      act();
    });
    this.space.addEventListener('click', (event) => {
      const row = event.target.closest('[role=option]');
      if (row) this.pick(Number(row.dataset.index), 'click');
    });
    new ResizeObserver(() => this.later()).observe(this.node);
  }

  later() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  // All rows are new, or there are more of them.
  reset(count, {keep = false} = {}) {
    this.count = count;
    this.space.style.height = `${count * this.rowHeight}px`;
    if (!keep) {
      for (const row of this.rows.values()) row.remove();
      this.rows.clear();
      this.picked = -1;
      this.node.scrollTop = 0;
    }
    this.draw();
  }

  // A row that was not known is known now, or changed.
  refresh(from, to) {
    for (const index of [...this.rows.keys()]) {
      if (index >= from && index < to) {
        this.rows.get(index).remove();
        this.rows.delete(index);
      }
    }
    this.later();
  }

  range() {
    const first = Math.floor(this.node.scrollTop / this.rowHeight);
    return [Math.max(0, first - 8), Math.min(this.count, first + Math.ceil(this.node.clientHeight / this.rowHeight) + 8)];
  }

  draw() {
    const [from, to] = this.range();
    for (const [index, row] of this.rows) {
      if (index >= from && index < to) continue;
      row.remove();
      this.rows.delete(index);
    }
    for (let index = from; index < to; ++index) {
      if (this.rows.has(index)) continue;
      const row = this.rowOf(index) ?? tag('div', {className: 'waiting', textContent: '…'});
      row.setAttribute('role', 'option');
      row.id = `${this.id}-${index}`;
      row.dataset.index = index;
      row.setAttribute('aria-setsize', this.count);
      row.setAttribute('aria-posinset', index + 1);
      row.setAttribute('aria-selected', index === this.picked);
      row.style.top = `${index * this.rowHeight}px`;
      row.style.height = `${this.rowHeight}px`;
      this.rows.set(index, row);
      this.space.append(row);
    }
  }

  pick(index, how = 'key') {
    if (this.count === 0) return;
    const next = Math.max(0, Math.min(this.count - 1, index));
    this.rows.get(this.picked)?.setAttribute('aria-selected', 'false');
    this.picked = next;
    this.show(next);
    this.rows.get(next)?.setAttribute('aria-selected', 'true');
    this.node.setAttribute('aria-activedescendant', `${this.id}-${next}`);
    this.onPick(next, how);
  }

  show(index) {
    const top = index * this.rowHeight, {scrollTop, clientHeight} = this.node;
    if (top < scrollTop) this.node.scrollTop = top;
    else if (top + this.rowHeight > scrollTop + clientHeight) this.node.scrollTop = top + this.rowHeight - clientHeight;
    this.draw();
  }

  keys(event) {
    const page = Math.max(1, Math.floor(this.node.clientHeight / this.rowHeight) - 1);
    return {
      j: () => this.pick(this.picked + 1), k: () => this.pick(this.picked - 1), ArrowDown: () => this.pick(this.picked + 1),
      ArrowUp: () => this.pick(this.picked - 1), PageDown: () => this.pick(this.picked + page), PageUp: () => this.pick(this.picked - page),
      Home: () => this.pick(0), End: () => this.pick(this.count - 1), Enter: this.picked >= 0 && (() => this.onPick(this.picked, 'enter')),
    }[event.key] || null;
  }
}
