// The run's config as it was submitted, and what else is known of it.
export class Config {
  constructor(context) { Object.assign(this, context); }

  async mount() {
    const {run, config} = this.view;
    const facts = [['Directory', run.directory], ['Config', run.config_sha256 && `sha256 ${run.config_sha256}`], ['Priority', run.priority],
      ['Slots of its trainer', run.slots], ['Sweep', run.sweep], ['Base model', run.model_fingerprint],
      ['Newest adapter', run.adapter_step >= 0 && `step ${run.adapter_step}, sha256 ${run.adapter_sha256}`]];
    const copy = tag('button', {type: 'button', textContent: 'Copy'});
    copy.addEventListener('click', async () => {
      try { await navigator.clipboard.writeText(config); this.toast('copied'); } catch { this.toast('The browser does not allow that; select the text.', 'bad'); }
    });
    const text = tag('pre', {className: 'config', tabIndex: 0, textContent: config || 'The coordinator has no config of this run.'});
    text.setAttribute('aria-label', 'config.yaml');
    text.setAttribute('role', 'region');
    return tag('div', {}, tag('div', {className: 'head'}, tag('h2', {textContent: 'config.yaml, every field resolved'}), copy), text,
      tag('h2', {textContent: 'Facts'}), tag('dl', {className: 'pairs'}, ...facts.filter(([, value]) => value || value === 0)
        .map(([name, value]) => tag('div', {}, tag('dt', {textContent: name}), tag('dd', {textContent: `${value}`})))));
  }
}
