// A run's columns by step, and what the stream adds to them.
export class Columns {
  constructor(columns) {
    this.columns = columns;
    this.derive();
  }

  get steps() { return this.columns.step; }

  // A step that is done again after a recovery takes the place of its first try, and of what came behind that.
  add(payload) {
    if (!payload || !Number.isInteger(payload.step)) return false;
    const {step} = this.columns;
    let keep = step.length;
    while (keep > 0 && step[keep - 1] >= payload.step) --keep;
    for (const [name, values] of Object.entries(this.columns)) {
      values.length = keep;
      values.push(name === 'step' ? payload.step : payload[name] ?? null);
    }
    this.derive();
    return true;
  }

  derive() {
    this.columns.angle_degrees = this.columns.router_angle_radians.map((angle) => known(angle) ? angle * 180 / Math.PI : null);
  }

  // Mean of the last known values of a column, at most `most` of them; null where there is none.
  recent(name, most = 5) {
    const values = (this.columns[name] ?? []).filter(known).slice(-most);
    return values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;
  }
  first(name, most = 5) {
    const values = (this.columns[name] ?? []).filter(known).slice(0, most);
    return values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;
  }
}
