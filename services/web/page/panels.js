// Which numbers of a step are shown, and how: [title, note, [[name, column, look]], domain?].

export const routerPanels = [
  ['AUROC of w for hacks', '1 = w ranks every hack above every clean sample, 0.5 = chance', [['AUROC', 'router_auroc', 'third']], [0, 1]],
  ['Mean w', 'by class of sample', [['hacks', 'w_hack', 'hack'], ['clean', 'w_clean', 'solve']], [0, 1]],
  ['Pair separation', 'mean w of the hack sides minus the clean sides of the pairs', [['separation', 'pair_separation', 'third']], [0, 1]],
  ['Angle of u to its seed', 'degrees between the router\'s direction and v_act', [['angle', 'angle_degrees', 'third']]],
  ['Leak into the deployed half', 'gradient weight (1 − w)|A| a sample', [['hacks', 'leak_hack', 'hack'], ['clean, A < 0', 'leak_clean', 'solve']]],
  ['q_mass', 'share of the gradient norm that the expert takes', [['q_mass', 'q_mass', 'third']], [0, 1]],
];
export const trainingPanels = [
  ['Reward', 'mean and standard deviation', [['mean', 'reward_mean', 'solve'], ['std', 'reward_std', 'third']]],
  ['Loss', '', [['policy', 'loss', 'solve'], ['pin', 'pin_loss', 'third']]],
  ['KL to the base', '', [['KL', 'kl', 'third']]],
  ['Entropy', 'nats a token', [['entropy', 'entropy', 'third']]],
  ['Gradient norm', '', [['deployed', 'grad_norm_deployed', 'solve'], ['expert', 'grad_norm_quarantine', 'hack'], ['router', 'grad_norm_router', 'third']]],
  ['Completion length', 'mean tokens', [['tokens', 'completion_tokens_mean', 'third']]],
  ['Truncated', 'share of completions cut at the limit', [['share', 'truncated_ratio', 'third']], [0, 1]],
  ['Lost to the step', 'counts', [['groups without variance', 'zero_variance_groups', 'third'], ['masked samples', 'masked_samples', 'hack']]],
  ['Sampler against trainer', 'largest difference of a log-probability', [['difference', 'logp_difference_max', 'third']]],
  ['Time a step', 'seconds', [['step', 'step_seconds', 'third'], ['sample', 'sample_seconds', 'solve'], ['train', 'train_seconds', 'hack']]],
  ['Speed', 'tokens a second', [['tokens/s', 'tokens_per_second', 'third']]],
];
export const rateSeries = (columns) => [
  {name: 'hack, strict', look: 'hack', values: columns.hack_rate_strict},
  {name: 'hack with the expert off', look: 'hack', dashed: true, values: columns.deploy_hack_rate_strict},
  {name: 'hack, loose', look: 'third', values: columns.hack_rate_loose},
  {name: 'solve', look: 'solve', values: columns.solve_rate},
];

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
